package s3serve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/kms"
)

// Encryption as requests ask for it: SSE-S3 and SSE-KMS. SSE-C and DSSE-KMS are refused by
// name, and everything is where there is no key. A client that asks for encryption must never
// believe that it got it when it did not.

// The actions that the authorizer is asked for.
const (
	actionDecrypt  = "kms:Decrypt"
	actionGenerate = "kms:GenerateDataKey"
)

// The headers, in lower case. In a signed URL or a form they are parameters and fields.
const (
	sseHeader      = "x-amz-server-side-encryption"
	sseKeyHeader   = sseHeader + "-aws-kms-key-id"
	sseContext     = sseHeader + "-context"
	sseBucketKey   = sseHeader + "-bucket-key-enabled"
	sseOfSource    = "x-amz-copy-source-server-side-encryption"
	mostEncContext = 8 << 10 // bytes of an encryption context (KMS: 8,192)
)

// wish is the encryption that a request asks for; the zero wish is none.
type wish struct {
	algorithm string // AES256 or aws:kms
	key       string // any name of a key; "" for the default one
	context   string // JSON in Base64
}

// wishKey is where the wish of a request lies among its values.
const wishKey = "batholith-encryption"

func wishOf(ctx context.Context) wish {
	w, _ := ctx.Value(wishKey).(wish)
	return w
}

// encryption is the middleware. It reads what the request asks for, and refuses what the server
// cannot do.
func (s *store) encryption(ctx fiber.Ctx) error {
	asked := map[string]string{}
	for name, value := range ctx.Request().Header.All() {
		if lower := strings.ToLower(string(name)); asksEncryption(lower) {
			asked[lower] = string(value)
		}
	}
	for name, value := range ctx.Request().URI().QueryArgs().All() {
		if lower := strings.ToLower(string(name)); asksEncryption(lower) {
			asked[lower] = string(value)
		}
	}
	w, err := s.wish(asked)
	switch {
	case err != nil:
		return answer(ctx, err)
	case len(asked) > 0 && (ctx.Method() == http.MethodGet || ctx.Method() == http.MethodHead):
		return answer(ctx, s3err.InvalidArgumentError{ArgumentName: sseHeader, ArgumentValue: w.algorithm,
			Description: sseHeader + " header is not supported for this operation."})
	case w != wish{}:
		ctx.Locals(wishKey, w)
	}
	return ctx.Next()
}

// formWish is the wish of an upload by form, whose fields the gateway read.
func (s *store) formWish(ctx context.Context) (wish, error) {
	form, ok := ctx.Value(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult)
	if !ok {
		return wishOf(ctx), nil
	}
	asked := map[string]string{}
	for name, value := range form.Fields {
		if lower := strings.ToLower(name); asksEncryption(lower) {
			asked[lower] = value
		}
	}
	return s.wish(asked)
}

// asksEncryption reports whether a header, parameter or field is about encryption by the
// server, of a copy's source too.
func asksEncryption(lower string) bool {
	return strings.HasPrefix(lower, sseHeader) || strings.HasPrefix(lower, sseOfSource)
}

// wish checks what was asked for, by names in lower case.
func (s *store) wish(asked map[string]string) (w wish, err error) {
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		value := asked[name]
		switch {
		case s.keys == nil, strings.HasPrefix(name, sseOfSource), name != sseHeader && name != sseKeyHeader && name != sseContext && name != sseBucketKey,
			name == sseHeader && value == "aws:kms:dsse":
			return wish{}, s.errEncryption(name, value)
		case name == sseBucketKey && value != "true" && value != "false":
			return wish{}, invalid(name, value, "It is true or false.")
		}
	}
	w = wish{algorithm: asked[sseHeader], key: asked[sseKeyHeader], context: asked[sseContext]}
	switch {
	case w.algorithm != "" && w.algorithm != sseS3 && w.algorithm != sseKMS:
		return wish{}, refusal(http.StatusBadRequest, "InvalidEncryptionAlgorithmError", "The encryption request you specified is not valid. The valid value is AES256 or aws:kms.")
	case w.algorithm != sseKMS && w.key != "":
		return wish{}, invalid(sseKeyHeader, w.key, "It needs "+sseHeader+": aws:kms.")
	case w.algorithm != sseKMS && w.context != "":
		return wish{}, invalid(sseContext, w.context, "It needs "+sseHeader+": aws:kms.")
	case !isContext(w.context):
		return wish{}, invalid(sseContext, w.context, "It is a JSON object of texts, encoded in Base64.")
	}
	return w, nil
}

func invalid(name, value, why string) error {
	return s3err.InvalidArgumentError{ArgumentName: name, ArgumentValue: value, Description: why}
}

// isContext reports whether a text is an encryption context as clients send it; "" is none.
func isContext(text string) bool {
	if text == "" {
		return true
	}
	document, err := base64.StdEncoding.DecodeString(text)
	var pairs map[string]string
	return err == nil && len(document) <= mostEncContext && json.Unmarshal(document, &pairs) == nil && pairs != nil
}

// errEncryption refuses a kind of encryption by name.
func (s *store) errEncryption(name, value string) error {
	why := "The embedded S3 does not encrypt, because its settings have no key, so " + name + " is refused: make a key with batholith kms create, or leave it out."
	if s.keys != nil {
		what := name
		if name == sseHeader {
			what += ": " + value
		}
		why = "The embedded S3 does not encrypt with keys of clients (SSE-C) or twice (DSSE-KMS), so " + what + " is refused: ask for AES256 or aws:kms."
	}
	return s3err.NotImplementedError{Header: name, APIError: s3err.APIError{Code: "NotImplemented", HTTPStatusCode: http.StatusNotImplemented, Description: why}}
}

// sealing is how an object is going to be encrypted.
type sealing struct {
	envelope
	arn  string
	data []byte // data key
}

// sealingFor makes the data key of a new object: as the request wishes, or else as the bucket's
// default says. nil: the object is not to be encrypted.
func (s *store) sealingFor(ctx context.Context, bucket, key string, w wish) (*sealing, error) {
	if w.algorithm == "" {
		var err error
		if w, err = s.defaultWish(bucket); err != nil {
			return nil, err
		}
	}
	if w.algorithm == "" || isDirectory(key) { // the object of a directory has no bytes
		return nil, nil
	}
	if s.keys == nil {
		return nil, s.errEncryption(sseHeader, w.algorithm)
	}
	ref, err := s.keyFor(ctx, w)
	if err != nil {
		return nil, s.keyError(err)
	}
	e := envelope{Algorithm: w.algorithm, Key: ref.ID, Context: w.context}
	d, err := s.keys.Generate(ref.ID, e.bound(bucket, key))
	if err != nil {
		return nil, s.keyError(err)
	}
	e.Wrapped = d.Wrapped
	return &sealing{envelope: e, arn: d.ARN, data: d.Plain}, nil
}

// unseal unwraps the data key of an object or upload.
func (s *store) unseal(ctx context.Context, action, bucket, key string, e envelope) (*sealing, error) {
	if s.keys == nil {
		return nil, s.keyError(errNoKeys)
	}
	ref, err := s.keys.Find(e.Key)
	if err == nil {
		err = s.granted(ctx, action, ref, e.Algorithm)
	}
	if err != nil {
		return nil, s.keyError(err)
	}
	d, err := s.keys.Unwrap(e.Key, e.Wrapped, e.bound(bucket, key))
	if err != nil {
		return nil, s.keyError(err)
	}
	return &sealing{envelope: e, arn: ref.ARN, data: d.Plain}, nil
}

// errNoKeys is for objects that were encrypted when the settings had keys.
var errNoKeys = errors.New("the object is encrypted, and the settings have no encryption key: put its key back into kms.keys")

// keyFor returns the key that encrypts as a request wishes: one of the signer's account. For SSE-S3, an account without
// keys gets the server's. As at AWS, an ARN of another account is AccessDenied, and other names that the account
// does not have are not found.
func (s *store) keyFor(ctx context.Context, w wish) (kms.Ref, error) {
	account := s.accounts.owner
	if who, ok := s.acting(ctx); ok {
		account = who.Identity.Account
	}
	ref, err := s.keys.FindFor(account, w.key)
	switch {
	case errors.Is(err, kms.ErrNotFound) && w.algorithm == sseS3:
		ref, err = s.keys.Find("")
	case errors.Is(err, kms.ErrNotFound) && strings.HasPrefix(w.key, "arn:") && !strings.Contains(w.key, ":"+account+":"):
		return ref, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	if err != nil {
		return ref, err
	}
	return ref, s.granted(ctx, actionGenerate, ref, w.algorithm)
}

// granted asks whether the signer may use a key. A key belongs to one account. The keys of SSE-S3 are the
// server's: whoever may use the object may use them (S3: SSE-S3). As for all rights of roles, only a policy
// that forbids counts for a role.
func (s *store) granted(ctx context.Context, action string, key kms.Ref, algorithm string) error {
	if algorithm != sseKMS {
		return nil
	}
	who, ok := s.acting(ctx)
	if !ok {
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	r := authz.Request{Who: authz.Identity{Account: who.Identity.Account, Principal: who.Identity.Principal, Groups: who.Identity.Groups},
		Action: action, Resource: authz.Resource{Type: authz.TypeKey, ID: key.ID, Account: key.Account}}
	d := authz.Decision{Allowed: who.Identity.Account == key.Account, Explicit: true}
	if d.Allowed && s.authorizer != nil {
		d = s.authorizer.Decide(ctx, r)
	}
	if d.Allowed || !d.Explicit && who.Role {
		return nil
	}
	return refusal(http.StatusForbidden, "AccessDenied", d.Refusal(r, `"`+key.ARN+`"`))
}

// keyError makes an error about a key one of S3's. What clients may not know, such as paths, is
// logged.
func (s *store) keyError(err error) error {
	var said s3err.S3Error
	var fault *kms.Fault
	reason := "The server's log says why."
	if errors.As(err, &fault) {
		reason = fault.Error()
	}
	switch {
	case errors.As(err, &said), fault == nil && !errors.Is(err, kms.ErrInvalid) && !errors.Is(err, errNoKeys): // not about a key: see explain
		return err
	case errors.Is(err, kms.ErrNotFound):
		return refusal(http.StatusBadRequest, "KMS.NotFoundException", reason)
	case errors.Is(err, kms.ErrDisabled):
		return refusal(http.StatusBadRequest, "KMS.DisabledException", reason)
	}
	s.log.Error("embedded S3: an encryption key cannot be used", "error", err)
	if errors.Is(err, kms.ErrInvalid) {
		return refusal(http.StatusInternalServerError, "InternalError", "The object cannot be decrypted: it is damaged, or its key was replaced. The server's log says more.")
	}
	return refusal(http.StatusBadRequest, "KMS.KMSInvalidStateException", "The encryption key cannot be used now. The cause is in the server's log.")
}

// tellEncryption writes into the answer how the object is encrypted.
func (s *store) tellEncryption(ctx context.Context, e envelope, withContext bool) {
	response, ok := ctx.(*fasthttp.RequestCtx)
	if !ok {
		return
	}
	header := &response.Response.Header
	header.Set(sseHeader, e.Algorithm)
	if e.Algorithm == sseKMS {
		header.Set(sseKeyHeader, s.refOf(e.Key).ARN)
	}
	if withContext && e.Context != "" {
		header.Set(sseContext, e.Context)
	}
}

// refOf names the key with an id. A key that the settings do not have any more has its id for an ARN, and belongs to
// the account of the settings.
func (s *store) refOf(id string) kms.Ref {
	if s.keys != nil {
		if ref, ok := s.keys.ByID(id); ok {
			return ref
		}
	}
	return kms.Ref{ID: id, ARN: id, Account: s.accounts.owner}
}

// nameOf is the name of the bucket of a path.
func nameOf(path string) string { return filepath.Base(path) }
