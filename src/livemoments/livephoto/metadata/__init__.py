"""Read and edit the metadata of stills: EXIF, XMP, Apple's maker note."""
