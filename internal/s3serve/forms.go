package s3serve

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3err"
)

// forms converts uploads by form to a form that the gateway understands (S3: POST object). It
// replaces ${filename} in the key by the file's name. If the policy has a valid Signature
// Version 2, it is signed again with version 4; boto3 uses version 2 whenever an endpoint is
// configured. All other forms pass unchanged.
type forms struct {
	accounts *accounts
	region   string
}

// formField is a field of a form before its file.
type formField struct{ name, value string }

// form is the part of a form before the bytes of its file.
type form struct {
	boundary string
	fields   []formField
	file     string // name of the file
}

// handle is the middleware.
func (f forms) handle(ctx fiber.Ctx) error {
	b, _ := ctx.Value(incomingKey).(*incoming)
	_, params, err := mime.ParseMediaType(ctx.Get("Content-Type"))
	if b == nil || b.document || ctx.Method() != http.MethodPost || err != nil || params["boundary"] == "" {
		return ctx.Next()
	}
	var seen bytes.Buffer
	came, err := readForm(io.TeeReader(b, &seen), params["boundary"])
	request := ctx.Request()
	streamOf.set(request, io.MultiReader(&seen, b))
	if err != nil {
		return ctx.Next() // the gateway reports the error
	}
	at := came.fileAt(seen.Bytes())
	named := came.nameKey()
	signed, err := f.signAgain(&came)
	if err != nil {
		return refuseUnread(ctx, b, err)
	}
	again, ok := came.text()
	if !named && !signed || !ok || at < 0 {
		return ctx.Next()
	}
	request.Header.SetContentLength(int(b.declared) - at + len(again))
	streamOf.set(request, io.MultiReader(strings.NewReader(again), bytes.NewReader(seen.Bytes()[at:]), b))
	return ctx.Next()
}

// readForm reads the fields of a form up to its file. It may consume some bytes of the file.
func readForm(body io.Reader, boundary string) (form, error) {
	f, parts := form{boundary: boundary}, multipart.NewReader(body, boundary)
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return f, err
		}
		name := strings.ToLower(part.FormName())
		if name == "file" || part.FileName() != "" {
			f.file = part.FileName()
			return f, nil
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return f, err
		}
		f.fields = append(f.fields, formField{name, string(value)})
	}
}

// last returns the last value of a field, which is the one that the gateway uses.
func (f *form) last(name string) (value string) {
	for _, field := range f.fields {
		if field.name == name {
			value = field.value
		}
	}
	return value
}

// nameKey replaces ${filename} in the key by the file's name. It reports whether the key
// contained it.
func (f *form) nameKey() (named bool) {
	for i, field := range f.fields {
		if field.name == "key" && strings.Contains(field.value, "${filename}") {
			f.fields[i].value, named = strings.ReplaceAll(field.value, "${filename}", f.file), true
		}
	}
	return named
}

// fileAt returns the index in form at which the file's part begins; -1: not found.
func (f *form) fileAt(form []byte) int {
	at := bytes.Index(form, []byte("--"+f.boundary))
	for range f.fields {
		next := bytes.Index(form[max(at, 0):], []byte("\r\n--"+f.boundary))
		if at < 0 || next < 0 {
			return -1
		}
		at += next + len("\r\n")
	}
	return at
}

// text writes the fields as the beginning of a form. It returns false if a field's name cannot
// be written.
func (f *form) text() (string, bool) {
	var out strings.Builder
	for _, field := range f.fields {
		if strings.ContainsAny(field.name, "\"\\\r\n") {
			return "", false
		}
		fmt.Fprintf(&out, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", f.boundary, field.name, field.value)
	}
	return out.String(), true
}

// signAgain verifies a Signature Version 2, if there is one, and replaces it by a Signature
// Version 4.
func (f forms) signAgain(came *form) (signed bool, err error) {
	id, signature, policy := came.last("awsaccesskeyid"), came.last("signature"), came.last("policy")
	if id == "" || signature == "" || policy == "" {
		return false, nil
	}
	account, err := f.accounts.signing(id, came.last(strings.ToLower(tokenHeader)))
	if err != nil {
		return false, err
	}
	old := hmac.New(sha1.New, []byte(account.Secret))
	io.WriteString(old, policy)
	if !hmac.Equal([]byte(signature), []byte(base64.StdEncoding.EncodeToString(old.Sum(nil)))) {
		return false, s3err.GetAPIError(s3err.ErrSignatureDoesNotMatch)
	}
	now := time.Now().UTC()
	day := now.Format("20060102")
	added := []formField{{"x-amz-algorithm", "AWS4-HMAC-SHA256"}, {"x-amz-credential", id + "/" + day + "/" + f.region + "/s3/aws4_request"},
		{"x-amz-date", now.Format("20060102T150405Z")}}
	if policy, err = allowing(policy, added); err != nil {
		return false, s3err.InvalidPolicyDocument.InvalidJSON()
	}
	came.fields = slices.DeleteFunc(came.fields, func(field formField) bool {
		return field.name == "awsaccesskeyid" || field.name == "signature" || field.name == "policy"
	})
	came.fields = append(append(came.fields, added...), formField{"policy", policy},
		formField{"x-amz-signature", hex.EncodeToString(mac(signingKey(account.Secret, day, f.region), policy))})
	return true, nil
}

// allowing adds fields to the conditions of a policy: a policy must list every field of its
// form.
func allowing(policy string, added []formField) (string, error) {
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(policy))
	if err != nil {
		return "", err
	}
	var document map[string]json.RawMessage
	var conditions []any
	if err := json.Unmarshal(text, &document); err != nil {
		return "", err
	}
	if err := json.Unmarshal(document["conditions"], &conditions); err != nil {
		return "", err
	}
	for _, a := range added {
		conditions = append(conditions, map[string]string{a.name: a.value})
	}
	if document["conditions"], err = json.Marshal(conditions); err != nil {
		return "", err
	}
	text, err = json.Marshal(document)
	return base64.StdEncoding.EncodeToString(text), err
}
