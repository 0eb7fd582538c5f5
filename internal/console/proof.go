package console

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/sigv4"
)

// proof is what a session proves with whose it is: a bearer, or temporary keys. The secret of a permanent access key is not kept: its bearer
// form is.
type proof struct {
	bearer string // bearer key, bearer form of an access key, or token of an issuer
	keys   aws.Credentials
}

// temporaryID begins the ids of temporary keys (AWS: access key ids).
const temporaryID = "ASIA"

// put adds the proof to a request inside the process.
func (c *Console) put(p proof, r *http.Request, body []byte) error {
	if p.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+p.bearer)
		return nil
	}
	sum := sha256.Sum256(body)
	// A signer remembers the last key by its id alone, so each request has its own.
	return v4.NewSigner().SignHTTP(r.Context(), p.keys, r, hex.EncodeToString(sum[:]), "bedrock", c.o.Region, c.o.Now().UTC())
}

// identify returns whose session it is now: the key is verified again.
func (c *Console) identify(r *http.Request, p proof) (sigv4.Identity, error) {
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+cmp.Or(r.Host, "console")+"/", nil)
	if err != nil {
		return sigv4.Identity{}, err
	}
	ask.RemoteAddr = r.RemoteAddr
	if err := c.put(p, ask, nil); err != nil {
		return sigv4.Identity{}, err
	}
	return c.o.Verify(ask)
}

// refusal returns the code, the status and the message of an error of Verify; "", 403 and "" for one without.
func refusal(err error) (code string, status int, message string) {
	var r bedrock.Refusal
	if !errors.As(err, &r) {
		return "", http.StatusForbidden, ""
	}
	return r.Refusal()
}

// unverifiable returns the fault if a key cannot be verified now, because the issuer of a token does not answer; nil if it is wrong.
func unverifiable(err error) *fault {
	_, status, message := refusal(err)
	if status < http.StatusInternalServerError {
		return nil
	}
	return &fault{http.StatusServiceUnavailable, "Your key cannot be checked now", message}
}

// isToken reports whether a bearer has the form of an issuer's token: three parts.
func isToken(bearer string) bool { return strings.Count(bearer, ".") == 2 }

// wrongKey says why a key is refused.
func wrongKey(p proof, err error) string {
	code, status, message := refusal(err)
	switch {
	case status >= http.StatusInternalServerError:
		return message
	case p.bearer == "" && strings.HasPrefix(code, "ExpiredToken"):
		return "These temporary keys have expired: get new ones."
	case p.bearer == "":
		return "The access key id, its secret or its session token is wrong; or the role or key that it was made from was removed."
	case isToken(p.bearer) && message != "":
		return message
	}
	return ""
}
