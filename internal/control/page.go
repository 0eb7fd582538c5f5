package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/batholith/batholith/internal/bedrock"
)

// page encodes and decodes the nextToken of one list. A token is base64url(cursor + digest),
// where the digest covers the cursor and the list's filters. A token that was cut, invented, or
// sent with other filters is rejected and never returns a wrong page. It needs no secret: the
// cursor is always applied within the caller's account.
type page struct {
	of string // identifies the list: account, filters and order
}

// digestSize is the length of the digest in bytes.
const digestSize = 8

// token returns the token for a cursor; "" for 0, the end of the list.
func (p page) token(cursor int64) string {
	if cursor == 0 {
		return ""
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(cursor))
	return base64.RawURLEncoding.EncodeToString(append(b, p.digest(b)...))
}

// cursor decodes a token; 0 for "", the first page.
func (p page) cursor(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token) // ignores line breaks
	if err != nil || len(b) != 8+digestSize || !bytes.Equal(b[8:], p.digest(b[:8])) || b[0] > 127 || strings.ContainsAny(token, "\r\n") {
		return 0, bedrock.Validation("The nextToken is not one that this list gave: send it with the same filters and order.")
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// digest returns the beginning of the SHA-256 of the list's identity and the cursor.
func (p page) digest(cursor []byte) []byte {
	sum := sha256.Sum256(append([]byte("page 1\n"+p.of+"\n"), cursor...))
	return sum[:digestSize]
}
