//! Picture decoding, crop rules and Pillow-exact resampling.
