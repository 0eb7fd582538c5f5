// Package s3serve is the embedded S3: the gateway of github.com/versity/versitygw over a directory, made durable, silent and
// many-tenanted enough to be trusted with jobs.
//
// Its invariant: what was acknowledged survives the loss of power, and no object is ever seen, also after a crash, but whole
// as some request wrote it. The gateway promises neither by itself. What is synced when:
//
//   - The bytes of an object or a part: before its name appears, when the gateway stores its ETag on the staged file
//     (see durableMeta). So a crash leaves the old object or the new one.
//   - Its name: before PutObject, CopyObject, UploadPart, UploadPartCopy and CompleteMultipartUpload answer; the file once more
//     (for its attributes), its directory, and each directory above it that was not known to be on disk (see names).
//   - The missing of a name: before DeleteObject, DeleteObjects, AbortMultipartUpload and DeleteBucket answer.
//   - Attributes stored by path (tags, ACLs, policies, an upload's metadata): as they are stored.
//
// An upload that breaks off changes nothing: every body is counted against its declared length as it comes in (see incoming), and
// the store believes the end of an object only when the request ended where it said that it would. Documents are counted in the same
// place, against S3's sizes for them; no request has an effect before its document came in whole.
//
// What a request names is resolved once, out of its target and its Host header (see address). The signature is checked over this
// result, the request is routed by it, and the store compares bucket and key with it again. A request that two readers could
// understand in two ways is refused.
//
// A process that dies while an upload is being completed leaves the upload in a claimed state, which the gateway would report
// as success ever after; New puts such uploads back (see recoverUploads), and a completion is answered 200 only if the object
// was made of this very upload. An abort waits for a completion that is under way, and is believed by who asked for it: nothing
// appears afterwards. What was being written when the process died lies below .sgwtmp of its bucket, where no request
// and no listing reaches it, and New removes it.
//
// Layout below Dir: buckets/NAME/… are the objects as files, with metadata in extended attributes (user.*), and values of more than
// 512 bytes in files below large/ (see large); where the file system has no attributes, below meta/. Metadata in files is written before the object's name, so that a crash between the two
// can leave an old object with the ETag of the new one; with attributes, the two appear at once. Other files may be put into
// a bucket's directory and are served without an ETag.
//
// Limits of a file system as a key space: a key cannot be both an object and the directory of others ("d" and "d/e"): the second
// is refused with 409 ObjectParentIsFile or ExistingObjectIsDirectory; no part of a key between slashes may exceed
// 255 bytes; keys with empty segments, ".", ".." or a NUL are refused with 400 and never found, as their path would be that of
// another key; only a slash at the end is a key's own, that of a directory. There is one copy of each object: no versions.
// Nothing is encrypted, and a request that asks for encryption is refused with 501, as else its client would believe in it.
//
// Clients other than AWS's send and expect what the gateway does not do: see docs/decisions/0017 for the list, and where each is done.
//
// The package must not know what the objects are for.
package s3serve
