package upstream

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
)

// Inside reports whether the server is in this process.
func (b *Backend) Inside() bool {
	_, inside := b.o.Transport.(inProcess)
	return inside
}

// Shared returns the names of the server and of its model that are equal in all processes that reach this server with the same credentials, so
// that they can share its limit of parallel requests. The names contain no secret: it is hashed. They are empty for a server that only this
// process reaches: an embedded model, or a server that this process starts. The name of a server on a loopback address includes the name of
// the machine.
func (b *Backend) Shared() (server, model string) {
	if _, inside := b.o.Transport.(inProcess); inside || b.o.Process != nil {
		return "", ""
	}
	machine := ""
	if host := b.base.Hostname(); host == "localhost" || net.ParseIP(host).IsLoopback() {
		name, err := os.Hostname()
		if err != nil {
			return "", ""
		}
		machine = " on " + name
	}
	u := *b.base
	u.User, u.RawQuery = nil, ""
	hidden := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v %q %s", b.o.APIKey, b.o.APIKeyFile, b.o.APIKeyHeader, b.o.Headers, b.base.User, b.o.AWS))
	return fmt.Sprintf("%s%s %x", u.String(), machine, hidden[:4]), b.o.Model
}
