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

// bearerScheme sends the bearer key of AWS_BEARER_TOKEN_BEDROCK. The SDK's own refuses to send one without TLS; this one does so to this
// machine itself, where nobody is on the way.
type bearerScheme struct{ provider bearer.TokenProvider }

// withBearer has a client send its bearer key, if it has one, as bearerScheme does.
func withBearer(o *bedrock.Options) {
	if o.BearerAuthTokenProvider != nil {
		o.AuthSchemes = []smithyhttp.AuthScheme{bearerScheme{o.BearerAuthTokenProvider}}
	}
}

// SchemeID, IdentityResolver and Signer make it a scheme of the SDK.
func (bearerScheme) SchemeID() string { return auth.SchemeIDHTTPBearer }
func (bearerScheme) IdentityResolver(auth.IdentityResolverOptions) auth.IdentityResolver {
	return &auth.AnonymousIdentityResolver{}
}
func (s bearerScheme) Signer() smithyhttp.Signer { return s }

// SignRequest adds the key to a request.
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

// mayCarryBearer refuses a way on which others could read a bearer key: to another machine, and without TLS.
func mayCarryBearer(to *url.URL) error {
	if to.Scheme == "https" || thisMachine(to.Hostname()) {
		return nil
	}
	return hint(fmt.Errorf("AWS_BEARER_TOKEN_BEDROCK would be sent to %s in the clear, without TLS", to.Host),
		"unset it, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which sign a request and are not sent (for an S3 with keys of its own: "+
			"BATHOLITH_S3_ACCESS_KEY_ID); or name an https:// endpoint")
}

// thisMachine tells whether a host is this machine: localhost, or an address of one of its interfaces.
func thisMachine(host string) bool {
	ip := net.ParseIP(host)
	if ip == nil || ip.IsLoopback() {
		return host == "localhost" || ip != nil
	}
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
