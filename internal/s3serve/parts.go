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

// partSums are the checksums of the parts of an object. The gateway forgets them with the
// upload, S3 does not (GetObjectAttributes, and GetObject and HeadObject with partNumber).
type partSums struct {
	Upload    string   // the upload that made the object; the sums of another upload are not this object's
	Algorithm string   // CRC32, SHA256, …
	Type      string   // FULL_OBJECT or COMPOSITE: how the object's own checksum is made
	Sums      []string // by part in the order of the object, Base64; "" if a part has none
}

const (
	partsAttribute     = "batholith-parts"
	checksumsAttribute = "checksums"      // the gateway's, of an upload, a part and an object: a JSON of s3response.Checksum
	crc64Attribute     = "part-crc64nvme" // the gateway's, of a part whose upload names no algorithm
)

// partSumsOf reads the sums of the parts of which an upload is about to be completed. some is
// false if no part has one. What cannot be read is left out: the completion itself finds out
// what is wrong with it.
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

// checksums reads the gateway's note of the checksums of an upload, a part or an object; zero
// if there is none.
func (m durableMeta) checksums(bucket, object string) (c s3response.Checksum) {
	if value, err := m.RetrieveAttribute(nil, bucket, object, checksumsAttribute); err == nil {
		_ = json.Unmarshal(value, &c) // zero, as if there was none
	}
	return c
}

// completing holds the sums of the parts for an upload while it is completed. The gateway
// stores its note of the upload on the object's staged file, and the sums are stored with it,
// so that they appear with the object.
func (m durableMeta) completing(p partSums) (done func()) {
	m.sums.Store(p.Upload, p)
	return func() { m.sums.Delete(p.Upload) }
}

// storePartSums stores the sums of the upload that note is of, on the staged file f of its
// object.
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

// partSums reads the sums of an object that an upload made; zero if there are none.
func (m durableMeta) partSums(bucket, object string) (p partSums) {
	value, err := m.RetrieveAttribute(nil, bucket, object, partsAttribute)
	if err != nil || json.Unmarshal(value, &p) != nil || !m.madeBy(bucket, object, p.Upload, uploadOf) {
		return partSums{}
	}
	return p
}

// give sets the checksum of part n in an answer or a part of one; none if it is not known.
func (p partSums) give(to any, n int) {
	if n < 1 || n > len(p.Sums) || p.Sums[n-1] == "" {
		return
	}
	if field := sumIn(to, p.Algorithm); field != nil {
		*field = &p.Sums[n-1]
	}
}

// giveTyped is give for the answer to a request for one part, which also has the type of the
// object's checksum.
func (p partSums) giveTyped(to any, kind *types.ChecksumType, n int) {
	p.give(to, n)
	if n >= 1 && n <= len(p.Sums) && p.Sums[n-1] != "" {
		*kind = types.ChecksumType(p.Type)
	}
}

// sumIn is the field for an algorithm's checksum in a struct of the SDK (ChecksumCRC32, …) or
// the gateway (CRC32, …), given by its address; nil if the struct has no such field.
func sumIn(of any, algorithm string) **string {
	v := reflect.ValueOf(of).Elem()
	for _, name := range []string{"Checksum" + algorithm, algorithm} {
		if f := v.FieldByName(name); f.IsValid() && f.Type() == reflect.TypeFor[*string]() {
			return f.Addr().Interface().(**string)
		}
	}
	return nil
}
