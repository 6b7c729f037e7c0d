//! Checkpoint formats, model folders, packs and downloads.
