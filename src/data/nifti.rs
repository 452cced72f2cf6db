//! NIfTI files: headers, voxels, and writing volumes back.
