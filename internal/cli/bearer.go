package cli

import (
	"context"
	"fmt"
	"net"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth"
	"github.com/aws/smithy-go/auth/bearer"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// bearerScheme sends the bearer key of AWS_BEARER_TOKEN_BEDROCK. The SDK's own scheme refuses to send a key
// without TLS. This one also sends it over plain HTTP to an address of this machine, because nobody can read along
// there.
type bearerScheme struct{ provider bearer.TokenProvider }

// withBearer configures a Bedrock client to send its bearer key with bearerScheme. A client without a bearer key
// is not changed and signs its requests.
func withBearer(o *bedrock.Options) {
	if o.BearerAuthTokenProvider != nil {
		o.AuthSchemes = []smithyhttp.AuthScheme{bearerScheme{o.BearerAuthTokenProvider}}
	}
}

// SchemeID returns the SDK's name of bearer authentication. The service's endpoints list the schemes that they
// accept by this name.
func (bearerScheme) SchemeID() string { return auth.SchemeIDHTTPBearer }

// IdentityResolver returns an identity without content: SignRequest asks the provider for the key itself.
func (bearerScheme) IdentityResolver(auth.IdentityResolverOptions) auth.IdentityResolver {
	return &auth.AnonymousIdentityResolver{}
}

// Signer returns the scheme itself.
func (s bearerScheme) Signer() smithyhttp.Signer { return s }

// SignRequest sets the Authorization header to the bearer key. It returns the error of mayCarryBearer, and sends
// nothing, if others could read the key on the way.
func (s bearerScheme) SignRequest(ctx context.Context, r *smithyhttp.Request, _ auth.Identity, _ smithy.Properties) error {
	token, err := s.provider.RetrieveBearerToken(ctx)
	if err != nil {
		return err
	}
	if err := mayCarryBearer(r.URL); err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token.Value)
	return nil
}

// mayCarryBearer returns an error with a remedy if a bearer key would leave this machine without TLS. Anyone on
// the way could then read the key and use it.
func mayCarryBearer(to *url.URL) error {
	if to.Scheme == "https" || thisMachine(to.Hostname()) {
		return nil
	}
	return hint(fmt.Errorf("AWS_BEARER_TOKEN_BEDROCK would be sent to %s in the clear, without TLS", to.Host),
		"unset it, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which sign a request and are not sent (for an S3 with keys of its own: "+
			"BATHOLITH_S3_ACCESS_KEY_ID); or name an https:// endpoint")
}

// thisMachine reports whether host is this machine: "localhost", a loopback address, or the address of one of its
// interfaces. Other names are not resolved, so they are never this machine.
func thisMachine(host string) bool {
	ip := net.ParseIP(host)
	if ip == nil || ip.IsLoopback() {
		return host == "localhost" || ip != nil
	}
	// An address of this machine other than loopback does not leave it either: the kernel delivers it locally.
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
