"""A folder of images: what lies in it, how it is laid out, and how one image is decoded."""
