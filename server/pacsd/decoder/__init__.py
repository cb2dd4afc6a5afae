"""The process that decodes compressed frames, by native code and from strangers' bytes, and the pool of them."""
