// Package s3serve is the embedded S3 server. It runs the gateway of
// github.com/versity/versitygw over a directory, and adds what jobs need: durability, quiet
// logs, and accounts restricted to buckets.
//
// Invariant: what was acknowledged survives a power failure, and an object is always complete
// as one request wrote it, also after a crash. The gateway guarantees neither. These syncs do:
//
//   - The bytes of an object or part are synced before its name appears, when the gateway stores the ETag on
//     the staged file (see durableMeta). So after a crash there is the old object or the new one.
//   - Its name is synced before PutObject, CopyObject, UploadPart, UploadPartCopy and CompleteMultipartUpload
//     answer: the file once more for its attributes, its directory, and each directory above that is not known
//     to be on disk (see names).
//   - The removal of a name is synced before DeleteObject, DeleteObjects, AbortMultipartUpload and DeleteBucket
//     answer.
//   - Attributes stored by path (tags, ACLs, policies, an upload's metadata) are synced when they are stored.
//
// An upload that breaks off has no effect. Every body is counted against its declared length
// (see incoming), and the store accepts the end of an object only if the request ended where it
// declared. Documents are checked against S3's maximum sizes at the same place; no request has
// an effect before its document was received completely.
//
// The bucket and key of a request are parsed once, from its target and its Host header (see
// address). The signature is checked over this result, the request is routed by it, and the
// store compares bucket and key with it again. An ambiguous request is rejected.
//
// If the process dies while an upload is being completed, the upload stays in a claimed state,
// which the gateway would report as success forever. New restores such uploads (see
// recoverUploads). A completion is answered with 200 only if the object was made from this
// upload. An abort waits for a running completion; after the abort no object appears. Files
// that were being written when the process died are below .sgwtmp of their bucket, where no
// request and no list reaches them. New removes them.
//
// Layout below Dir: buckets/NAME/… contains the objects as files. Metadata is in extended
// attributes (user.*), and values of more than 512 bytes are in files below large/ (see large).
// If the file system has no extended attributes, metadata is in files below meta/. These are
// written before the object's name, so a crash in between can leave an old object with the ETag
// of the new one; extended attributes appear together with the object. Other files may be put
// into a bucket's directory; they are served without an ETag.
//
// Limits of a file system as a key space: "d" and "d/e" cannot both be objects; the second is
// rejected with 409 ObjectParentIsFile or ExistingObjectIsDirectory. A segment of a key must
// not exceed 255 bytes. Keys with empty segments, ".", ".." or a NUL are rejected with 400,
// because their path would be that of another key. A trailing slash is allowed and means a
// directory. Objects have no versions.
//
// Encryption: objects are encrypted if the request or the bucket says so (encrypt.go), in a format
// of files (sealed.go) of which the gateway sees the ciphertext only. Without keys, a request for
// encryption is rejected with 501, so that no client relies on it.
//
// Some clients other than the AWS SDKs send and expect things that the gateway does not
// support: docs/decisions/0017 lists them, and where each is handled.
//
// The package does not know what the objects are for.
package s3serve
