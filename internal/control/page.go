package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/batholith/batholith/internal/bedrock"
)

// page makes and reads the tokens of one listing. A token is a cursor and a digest of it and of what is listed, so that one
// that was cut, made up, or given to a list with other filters is refused and never answers a wrong page. It is no secret:
// what it points at is always sought within the caller's own account.
type page struct {
	of string // what is listed: account, filters and order
}

const digestSize = 8

func (p page) token(cursor int64) string {
	if cursor == 0 {
		return ""
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(cursor))
	return base64.RawURLEncoding.EncodeToString(append(b, p.digest(b)...))
}

func (p page) cursor(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != 8+digestSize || !bytes.Equal(b[8:], p.digest(b[:8])) || b[0] > 127 {
		return 0, bedrock.Validation("The nextToken is not one that this list gave: send it with the same filters and order.")
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func (p page) digest(cursor []byte) []byte {
	sum := sha256.Sum256(append([]byte("page 1\n"+p.of+"\n"), cursor...))
	return sum[:digestSize]
}
