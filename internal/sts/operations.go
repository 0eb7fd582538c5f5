package sts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/xml"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/sigv4"
)

// Durations of sessions (AWS: AssumeRole, GetSessionToken).
const (
	shortest        = 15 * time.Minute
	longestRole     = 12 * time.Hour
	longestToken    = 36 * time.Hour
	longestChained  = time.Hour // of a role that is assumed with temporary keys
	usualRole       = time.Hour
	usualToken      = 12 * time.Hour
	assumeRole      = "sts:AssumeRole"
	longestExternal = 1224 // characters of an external id
)

var (
	sessionForm  = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`) // AWS: RoleSessionName and SourceIdentity
	externalForm = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`) // AWS: ExternalId
)

// ValidExternalID reports whether callers can send an external id (AWS: ExternalId, 2 to 1224 characters).
func ValidExternalID(id string) bool {
	return len(id) <= longestExternal && externalForm.MatchString(id)
}

// unsupported are parameters that would restrict a session or prove more about the caller. Ignoring one would give
// more rights than were asked for, so they are refused.
var unsupported = []string{"Policy", "PolicyArns.", "Tags.", "TransitiveTagKeys.", "SerialNumber", "TokenCode", "ProvidedContexts."}

// operations are those of STS that the service has, by the parameter Action.
var operations = map[string]func(*Handler, context.Context, call) (result, error){
	"AssumeRole":        (*Handler).assumeRole,
	"GetSessionToken":   (*Handler).sessionToken,
	"GetCallerIdentity": (*Handler).callerIdentity,
}

// assumed is the answer to AssumeRole.
type assumed struct {
	XMLName          xml.Name `xml:"AssumeRoleResult"`
	Credentials      credentials
	AssumedRoleUser  assumedUser
	SourceIdentity   string `xml:",omitempty"`
	PackedPolicySize int
}

type assumedUser struct {
	AssumedRoleID string `xml:"AssumedRoleId"`
	Arn           string
}

func (assumed) name() string { return "AssumeRole" }

// assumeRole issues temporary keys of a role. The AWS SDKs use them like permanent keys with a session token. The
// session is logged with who made it; the secret is not.
func (h *Handler) assumeRole(ctx context.Context, c call) (result, error) {
	arn, session, source := c.form.Get("RoleArn"), c.form.Get("RoleSessionName"), c.form.Get("SourceIdentity")
	longest := longestRole
	if c.session {
		longest = longestChained
	}
	lasts, err := c.duration(usualRole, longestRole)
	external := c.form.Get("ExternalId")
	parsed, bad := batholith.ParseARN(arn)
	name, isRole := strings.CutPrefix(parsed.Resource, "role/")
	switch {
	case err != nil:
		return nil, err
	case bad != nil || parsed.Service != "iam" || !isRole || name == "":
		return nil, invalid("%s is invalid", quoted(arn))
	case !sessionForm.MatchString(session):
		return nil, invalid("Value %s at 'roleSessionName' failed to satisfy constraint: 2 to 64 letters, digits and _+=,.@-", quoted(session))
	case source != "" && !sessionForm.MatchString(source):
		return nil, invalid("Value %s at 'sourceIdentity' failed to satisfy constraint: 2 to 64 letters, digits and _+=,.@-", quoted(source))
	case external != "" && !ValidExternalID(external):
		return nil, invalid("Value at 'externalId' failed to satisfy constraint: 2 to %d letters, digits and _+=,.@:/-", longestExternal)
	case lasts > longest:
		return nil, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if p, found := c.restricts(); found {
		return nil, invalid("This token service does not support %s. Leave it out; narrow the role by its buckets in the settings.", p)
	}
	role, ok := h.Sessions.source.Role(arn)
	if why, allowed := h.mayAssume(ctx, c.who, parsed, arn); !ok || !allowed || role.ExternalID != "" && role.ExternalID != external {
		return nil, &fault{http.StatusForbidden, "AccessDenied", why}
	}
	user := "arn:aws:sts::" + parsed.Account + ":assumed-role/" + name[strings.LastIndexByte(name, '/')+1:] + "/" + session
	keys, err := h.Sessions.issue(ticket{Account: parsed.Account, Principal: user, Groups: []string{arn}, Role: arn, Source: source}, lasts)
	if err != nil {
		return nil, err
	}
	h.Log.Info("a role was assumed", "role", arn, "session", session, "by", arnOf(c.who), "source_identity", source, "access_key_id", keys.AccessKeyID, "until", keys.Expiration)
	return assumed{Credentials: keys, AssumedRoleUser: assumedUser{idOf("AROA", arn) + ":" + session, user}, SourceIdentity: source}, nil
}

// mayAssume reports whether a caller may assume a role, and the refusal if not. The refusal is the same for a role that
// does not exist, and for a wrong external id.
func (h *Handler) mayAssume(ctx context.Context, who sigv4.Identity, role batholith.ARN, arn string) (refusal string, ok bool) {
	refusal = "User: " + arnOf(who) + " is not authorized to perform: " + assumeRole + " on resource: " + arn
	if h.Authorizer == nil || who.Account != role.Account {
		return refusal, who.Account == role.Account
	}
	d := h.Authorizer.Decide(ctx, authz.Request{Who: authz.Identity{Account: who.Account, Principal: who.Principal, Groups: who.Groups},
		Action: assumeRole, Resource: authz.Resource{Type: authz.TypeRole, ID: arn, Account: role.Account}})
	return refusal, d.Allowed
}

// sessionTokens is the answer to GetSessionToken.
type sessionTokens struct {
	XMLName     xml.Name `xml:"GetSessionTokenResult"`
	Credentials credentials
}

func (sessionTokens) name() string { return "GetSessionToken" }

// sessionToken issues temporary keys with the rights of the caller's own key. They end early if that key is
// removed or gets another secret.
func (h *Handler) sessionToken(_ context.Context, c call) (result, error) {
	lasts, err := c.duration(usualToken, longestToken)
	if err != nil {
		return nil, err
	}
	if p, found := c.restricts(); found {
		return nil, invalid("This token service does not support %s. Leave it out.", p)
	}
	from, ok := h.Sessions.source.AccessKey(c.key)
	if c.session || !ok {
		return nil, &fault{http.StatusForbidden, "AccessDenied", "Cannot call GetSessionToken with session credentials, nor with a bearer key. Sign with an access key of the settings."}
	}
	keys, err := h.Sessions.issue(ticket{Account: c.who.Account, Principal: c.who.Principal, From: from.ID, Proof: h.Sessions.proofOf(from)}, lasts)
	return sessionTokens{Credentials: keys}, err
}

// identity is the answer to GetCallerIdentity.
type identity struct {
	XMLName xml.Name `xml:"GetCallerIdentityResult"`
	Arn     string
	UserID  string `xml:"UserId"`
	Account string
}

func (identity) name() string { return "GetCallerIdentity" }

// callerIdentity returns who the caller is. Every caller may ask.
func (*Handler) callerIdentity(_ context.Context, c call) (result, error) {
	return identityOf(c.who), nil
}

// identityOf returns who a caller is, in AWS's form: a user, or the session of a role.
func identityOf(who sigv4.Identity) identity {
	arn := arnOf(who)
	id := idOf("AIDA", arn)
	if _, session, ok := strings.Cut(arn, ":assumed-role/"); ok && len(who.Groups) > 0 {
		id = idOf("AROA", who.Groups[0]) + ":" + session[strings.LastIndexByte(session, '/')+1:]
	}
	return identity{Arn: arn, UserID: id, Account: who.Account}
}

// arnOf returns the caller's ARN.
func arnOf(who sigv4.Identity) string {
	return authz.Identity{Account: who.Account, Principal: who.Principal}.ARN()
}

// idOf returns a unique id of 20 characters in AWS's form, derived from an ARN.
func idOf(prefix, arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return prefix + base32.StdEncoding.EncodeToString(sum[:10])
}

// duration returns the duration that a request asks for, or usual. The error is a ValidationError if it is not
// between shortest and longest.
func (c call) duration(usual, longest time.Duration) (time.Duration, error) {
	text := c.form.Get("DurationSeconds")
	if text == "" {
		return usual, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	if d := time.Duration(seconds) * time.Second; err == nil && d >= shortest && d <= longest {
		return d, nil
	}
	return 0, invalid("Value %s at 'durationSeconds' failed to satisfy constraint: %d to %d seconds", quoted(text), int(shortest.Seconds()), int(longest.Seconds()))
}

// restricts returns the first unsupported parameter of a request, in alphabetical order.
func (c call) restricts() (parameter string, found bool) {
	for _, name := range slices.Sorted(maps.Keys(c.form)) {
		for _, p := range unsupported {
			if name == p || strings.HasSuffix(p, ".") && strings.HasPrefix(name, p) {
				return strings.TrimSuffix(p, "."), true
			}
		}
	}
	return "", false
}

// quoted returns a value of the caller for a message, cut to 100 bytes.
func quoted(s string) string { return "'" + s[:min(len(s), 100)] + "'" }
