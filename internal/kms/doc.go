// Package kms holds local encryption keys and does envelope encryption with them, in the terms
// of AWS KMS.
//
// A key has an id, aliases and a file. The file holds one or more versions of 256 bits each
// (see file.go for its format). Rotation adds a version: the newest encrypts, and all of them
// decrypt. A key encrypts nothing but data keys. A data key of 256 bits is made for each object
// or file, and stored beside it in wrapped form:
//
//	wrapping key = HKDF-SHA256(version of the key, random salt)
//	wrapped      = AES-256-GCM(wrapping key, data key), authenticated together with the key's id and a context
//
// The context says what the data key is for, for example a bucket, a key and a use. A data key
// does not unwrap in any other context, so that ciphertext that somebody moved elsewhere is an
// error.
//
// Its invariant: nothing that was changed, and nothing that another key or context wrapped,
// unwraps. The package must not know what is encrypted, and it never writes a key anywhere but
// into key files of mode 0600.
package kms
