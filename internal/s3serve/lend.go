package s3serve

import (
	"cmp"
	"crypto/rand"
)

// lentKey begins the id of a key that Lend has made. The settings refuse such ids, because they reserve what begins with batholith-role-.
const lentKey = "batholith-role-lent-"

// Lend makes a key pair with the rights of a caller of this process, who need not have an access key: those of a signed request of the same
// caller, with the restrictions of who. The pair is valid until end is called. It must be used over [Server.Dial], and must not leave the
// process.
func (s *Server) Lend(who Account) (accessKeyID, secret string, end func()) {
	who.Identity.Account = cmp.Or(who.Identity.Account, s.accounts.owner)
	who.AccessKeyID, who.Secret = lentKey+rand.Text(), rand.Text()
	return who.AccessKeyID, who.Secret, s.accounts.lend(who)
}
