//! A chain of transforms, evaluated on demand over a window.
