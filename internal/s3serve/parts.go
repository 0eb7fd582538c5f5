package s3serve

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"reflect"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"
)

// partSums are the checksums of the parts of an object. The gateway deletes them when the upload
// is completed, but S3 still returns them afterwards.
//
// S3: GetObjectAttributes (ObjectParts), GetObject and HeadObject (partNumber).
type partSums struct {
	Upload    string   // ID of the upload that created the object; if it differs, the sums are of an older object
	Algorithm string   // CRC32, SHA256, …
	Type      string   // FULL_OBJECT (over all bytes) or COMPOSITE (over the parts' checksums)
	Sums      []string // Base64, in the order of the parts; "" if a part has none
}

const (
	partsAttribute     = "batholith-parts"
	checksumsAttribute = "checksums"      // the gateway's, of an upload, a part and an object: a JSON of s3response.Checksum
	crc64Attribute     = "part-crc64nvme" // the gateway's, of a part whose upload names no algorithm
)

// partSumsOf reads the checksums of the parts that a completion lists. some is false if no part
// has a checksum. Checksums that cannot be read are left out: the completion, which follows,
// reports the error. dir is the upload's directory.
func (m durableMeta) partSumsOf(bucket, dir, upload string, listed []types.CompletedPart) (p partSums, some bool) {
	of := m.checksums(bucket, dir)
	p = partSums{Upload: upload, Algorithm: string(of.Algorithm), Type: string(of.Type), Sums: make([]string, len(listed))}
	if p.Algorithm == "" {
		p.Algorithm, p.Type = string(types.ChecksumAlgorithmCrc64nvme), string(types.ChecksumTypeFullObject) // S3's default
	}
	for i, part := range listed {
		at := path.Join(dir, strconv.Itoa(int(aws.ToInt32(part.PartNumber))))
		if of.Algorithm != "" {
			sums := m.checksums(bucket, at)
			if sum := sumIn(&sums, p.Algorithm); sum != nil {
				p.Sums[i] = aws.ToString(*sum)
			}
		} else if value, err := m.RetrieveAttribute(nil, bucket, at, crc64Attribute); err == nil {
			p.Sums[i] = string(value)
		}
		some = some || p.Sums[i] != ""
	}
	return p, some
}

// checksums reads the gateway's attribute with the checksums of an upload, a part or an object.
// It is zero if there is none.
func (m durableMeta) checksums(bucket, object string) (c s3response.Checksum) {
	if value, err := m.RetrieveAttribute(nil, bucket, object, checksumsAttribute); err == nil {
		_ = json.Unmarshal(value, &c) // on an error c stays zero
	}
	return c
}

// completing keeps the parts' checksums in memory until the caller calls done, after the
// completion. During the completion storePartSums writes them to the staged file of the object,
// so that the object and its checksums become visible at the same time.
func (m durableMeta) completing(p partSums) (done func()) {
	m.sums.Store(p.Upload, p)
	return func() { m.sums.Delete(p.Upload) }
}

// storePartSums stores the parts' checksums of an upload as an attribute of f, the staged file of
// its object. note is the gateway's attribute that names the upload. An upload without checksums
// is no error.
func (m durableMeta) storePartSums(f *os.File, bucket, object string, note []byte) error {
	upload, err := uploadOf(note)
	if err != nil {
		return err
	}
	p, ok := m.sums.Load(upload)
	if !ok {
		return nil
	}
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("store the checksums of parts: %w", err)
	}
	return m.StoreAttribute(f, bucket, object, partsAttribute, value)
}

// partSums reads the parts' checksums of an object. They are zero if there are none, or if they
// belong to an older object with the same key.
func (m durableMeta) partSums(bucket, object string) (p partSums) {
	value, err := m.RetrieveAttribute(nil, bucket, object, partsAttribute)
	if err != nil || json.Unmarshal(value, &p) != nil || !m.madeBy(bucket, object, p.Upload, uploadOf) {
		return partSums{}
	}
	return p
}

// give sets the checksum of part n (from 1) in to, a pointer to an output or a part of the SDK. It
// does nothing if the checksum is not known.
func (p partSums) give(to any, n int) {
	if n < 1 || n > len(p.Sums) || p.Sums[n-1] == "" {
		return
	}
	if field := sumIn(to, p.Algorithm); field != nil {
		*field = &p.Sums[n-1]
	}
}

// giveTyped does the same for the answer to a request with partNumber, which also has the type of
// the object's checksum.
func (p partSums) giveTyped(to any, kind *types.ChecksumType, n int) {
	p.give(to, n)
	if n >= 1 && n <= len(p.Sums) && p.Sums[n-1] != "" {
		*kind = types.ChecksumType(p.Type)
	}
}

// sumIn returns the address of the field for an algorithm's checksum. of is a pointer to a struct
// of the SDK (ChecksumCRC32, …) or of the gateway (CRC32, …). It returns nil if the struct has no
// such field.
func sumIn(of any, algorithm string) **string {
	v := reflect.ValueOf(of).Elem()
	for _, name := range []string{"Checksum" + algorithm, algorithm} {
		if f := v.FieldByName(name); f.IsValid() && f.Type() == reflect.TypeFor[*string]() {
			return f.Addr().Interface().(**string)
		}
	}
	return nil
}
