// Owns a precompiled header; see the headers beside it.
