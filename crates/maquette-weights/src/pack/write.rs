//! Writing packs, and turning them back into folders.
