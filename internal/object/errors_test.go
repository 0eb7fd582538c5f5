package object_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
)

// passes is the want of an answer that ends no job.
var passes error

// answersOf are codes of S3 servers and what each must mean. Sources: the error lists of Amazon S3, MinIO, Ceph RGW, SeaweedFS, R2,
// Google's XML API, versitygw and gofakes3, and of token services.
var answersOf = map[string][]struct {
	status int
	code   string
	want   error
}{
	"Amazon": {
		{404, "NoSuchKey", batholith.ErrNoObject}, {404, "NoSuchBucket", batholith.ErrNoBucket}, {400, "InvalidBucketName", batholith.ErrNoBucket},
		{403, "AccessDenied", batholith.ErrAccessDenied}, {403, "AllAccessDisabled", batholith.ErrAccessDenied}, {403, "AccountProblem", batholith.ErrAccessDenied},
		{403, "InvalidAccessKeyId", batholith.ErrAccessDenied}, {403, "NotSignedUp", batholith.ErrAccessDenied}, {403, "AnythingElse", batholith.ErrAccessDenied},
		{412, "PreconditionFailed", batholith.ErrObjectChanged},
		{400, "ExpiredToken", passes}, {400, "InvalidToken", passes}, {400, "TokenRefreshRequired", passes}, {403, "RequestExpired", passes},
		{403, "SignatureDoesNotMatch", passes}, {403, "RequestTimeTooSkewed", passes},
		{301, "PermanentRedirect", passes}, {307, "TemporaryRedirect", passes}, {400, "AuthorizationHeaderMalformed", passes}, {400, "IllegalLocationConstraintException", passes},
		{400, "RequestTimeout", passes}, {400, "IncompleteBody", passes}, {400, "BadDigest", passes}, {400, "XAmzContentSHA256Mismatch", passes},
		{400, "InvalidPart", passes}, {404, "NoSuchUpload", passes}, {409, "OperationAborted", passes}, {409, "ConditionalRequestConflict", passes},
		{400, "ThrottlingException", passes}, {400, "RequestLimitExceeded", passes}, {503, "SlowDown", passes}, {500, "InternalError", passes}, {503, "ServiceUnavailable", passes},
		{400, "InvalidArgument", batholith.ErrRefused}, {400, "InvalidRequest", batholith.ErrRefused}, {400, "KeyTooLongError", batholith.ErrRefused}, {400, "InvalidURI", batholith.ErrRefused},
		{400, "EntityTooSmall", batholith.ErrRefused}, {400, "EntityTooLarge", batholith.ErrRefused}, {405, "MethodNotAllowed", batholith.ErrRefused}, {501, "NotImplemented", batholith.ErrRefused},
		{411, "MissingContentLength", batholith.ErrRefused}, {403, "InvalidObjectState", batholith.ErrRefused}, {400, "InvalidEncryptionAlgorithmError", batholith.ErrRefused},
		{400, "KMS.NotFoundException", batholith.ErrRefused}, {400, "KMS.DisabledException", batholith.ErrAccessDenied}, {400, "KMS.KMSInvalidStateException", batholith.ErrAccessDenied},
		{400, "KMS.ThrottlingException", passes}, {500, "KMS.InternalException", passes},
	},
	"MinIO": {
		{403, "InvalidTokenId", passes}, {400, "AuthorizationHeaderMalformed", passes}, {400, "InvalidRegion", passes}, {503, "SlowDownRead", passes}, {503, "SlowDownWrite", passes},
		{503, "XMinioServerNotInitialized", passes}, {503, "ServerBusy", passes}, {507, "XMinioStorageFull", passes}, {400, "XMinioAdminBucketQuotaExceeded", passes}, {499, "ClientDisconnected", passes},
		{429, "TooManyRequests", passes}, {400, "XMinioInvalidObjectName", batholith.ErrRefused}, {409, "XMinioObjectExistsAsDirectory", batholith.ErrRefused}, {400, "XMinioInsecureClientRequest", batholith.ErrRefused},
		{400, "kms:KeyNotFound", batholith.ErrRefused}, {403, "XMinioInvalidIAMCredentials", batholith.ErrAccessDenied}, {400, "XMinioInvalidResourceName", batholith.ErrRefused},
	},
	"Ceph": {
		{403, "UserSuspended", batholith.ErrAccessDenied}, {403, "QuotaExceeded", passes}, {400, "RequestTimeout", passes}, {400, "LimitExceeded", batholith.ErrRefused}, {400, "InvalidObjectName", batholith.ErrRefused},
		{403, "RequestTimeTooSkewed", passes}, {422, "UnprocessableEntity", batholith.ErrRefused}, {404, "NoSuchKey", batholith.ErrNoObject}, {503, "SlowDown", passes}, {409, "Busy", passes},
	},
	"SeaweedFS": {
		{403, "AccessDenied", batholith.ErrAccessDenied}, {403, "InvalidAccessKeyId", batholith.ErrAccessDenied}, {403, "SignatureDoesNotMatch", passes}, {400, "ExpiredToken", passes},
		{409, "ExistingObjectIsDirectory", batholith.ErrRefused}, {409, "ExistingObjectIsFile", passes}, {503, "RequestBytesExceed", passes}, {503, "ServiceUnavailable", passes}, {404, "NoSuchUpload", passes},
	},
	"R2": {
		{401, "Unauthorized", batholith.ErrAccessDenied}, {400, "ExpiredRequest", passes}, {403, "SignatureDoesNotMatch", passes}, {400, "InvalidObjectName", batholith.ErrRefused}, {429, "TooManyRequests", passes},
		{500, "InternalError", passes}, {501, "NotImplemented", batholith.ErrRefused}, {408, "UploadTimeout", passes}, {400, "InvalidPart", passes},
	},
	"Google": {
		{401, "AuthenticationRequired", batholith.ErrAccessDenied}, {403, "InvalidSecurity", batholith.ErrAccessDenied}, {403, "UserProjectAccountProblem", batholith.ErrAccessDenied}, {400, "ExpiredToken", passes},
		{400, "CrcMismatch", passes}, {429, "SlowDown", passes}, {403, "RequestTimeTooSkewed", passes}, {400, "CloudKmsEncryptionKeyNotFound", batholith.ErrRefused}, {400, "CloudKmsDisabledKey", batholith.ErrAccessDenied},
		{400, "InvalidArgument", batholith.ErrRefused}, {425, "TooEarly", passes},
	},
	"versitygw": {
		{403, "AccessForbidden", batholith.ErrAccessDenied}, {409, "ObjectParentIsFile", batholith.ErrRefused}, {507, "InsufficientStorage", passes}, {403, "QuotaExceeded", passes}, {400, "", batholith.ErrRefused},
		{400, "InvalidURI", batholith.ErrRefused}, {403, "InvalidToken", passes},
	},
	"a gateway": {{400, "", batholith.ErrRefused}, {404, "", batholith.ErrNoObject}, {403, "", batholith.ErrAccessDenied}, {408, "", passes}, {409, "", passes}, {425, "", passes}, {429, "", passes}, {502, "", passes}, {504, "", passes}},
}

func TestEveryAnswerIsAVerdictOrPasses(t *testing.T) {
	for server, answers := range answersOf {
		for _, c := range answers {
			synctest.Test(t, func(t *testing.T) {
				b := s3(func(r *http.Request) (*http.Response, error) {
					if c.code == "" {
						return answer(r, c.status, nil, ""), nil
					}
					return refusal(r, c.status, c.code), nil
				}).bucket(t, object.Options{})
				_, read := b.Read(t.Context(), "some/key", "etag", 0, 5)
				for verb, err := range map[string]error{"read": read, "write": b.Put(t.Context(), "some/key", nil)} {
					if err == nil || blob.Permanent(err) != (c.want != nil) || c.want != nil && !errors.Is(err, c.want) {
						t.Errorf("%s: %s answered %d %s: %v; want %v", server, verb, c.status, c.code, err, c.want)
					}
					if err != nil && (!strings.Contains(err.Error(), "s3://box/some/key") || !strings.Contains(err.Error(), c.code)) {
						t.Errorf("%s: the error names not what was asked or answered: %v", server, err)
					}
				}
			})
		}
	}
}

// The answer to a HEAD has no body: 400 and 403 may be expired keys as well as a policy.
func TestTheAnswerToAHeadIsNoVerdictByItself(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string // of a GET; "" = it goes well
		want   error
	}{
		{400, "ExpiredToken", passes}, {403, "SignatureDoesNotMatch", passes}, {403, "RequestTimeTooSkewed", passes}, {403, "AccessDenied", batholith.ErrAccessDenied}, {400, "InvalidArgument", batholith.ErrRefused},
		{400, "AuthorizationHeaderMalformed", passes},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := s3(func(r *http.Request) (*http.Response, error) { return refusal(r, c.status, c.code), nil }).bucket(t, object.Options{})
			if _, err := b.Head(t.Context(), "k"); err == nil || blob.Permanent(err) != (c.want != nil) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%d %s: %v; want %v", c.status, c.code, err, c.want)
			}
		})
	}
}

// What a gateway or a stranger in the S3's place says ends no job, and is told with what to do.
func TestAStrangersAnswerPassesAndIsNamed(t *testing.T) {
	page := map[string]string{"Content-Type": "text/html; charset=utf-8"}
	for name, c := range map[string]struct {
		status int
		header map[string]string
		body   string
		words  []string
	}{
		"a console":         {403, page, "<html>sign in</html>", []string{"is not an S3", "s3.endpoint"}},
		"MinIO's console":   {400, nil, "<Error><Code>InvalidArgument</Code><Message>S3 API Requests must be made to API port.</Message></Error>", []string{"is not an S3", "s3.endpoint"}},
		"an ingress":        {404, page, "<html>default backend</html>", []string{"is not an S3"}},
		"net/http with TLS": {400, nil, "Client sent an HTTP request to an HTTPS server.\n", []string{"s3.test speaks TLS", "https://"}},
		"nginx with TLS":    {400, page, "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>", []string{"speaks TLS", "https://"}},
		"a redirection":     {308, map[string]string{"Location": "https://s3.test/box/k"}, "", []string{"https://"}},
		"another region":    {301, map[string]string{"X-Amz-Bucket-Region": "eu-west-1"}, "<Error><Code>PermanentRedirect</Code></Error>", []string{"eu-west-1", "s3.region"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := s3(func(r *http.Request) (*http.Response, error) { return answer(r, c.status, c.header, c.body), nil }).bucket(t, object.Options{})
			err := b.Put(t.Context(), "k", nil)
			if err == nil || blob.Permanent(err) {
				t.Errorf("%s: %v", name, err)
			}
			for _, w := range c.words {
				if err != nil && !strings.Contains(err.Error(), w) {
					t.Errorf("%s: no %q in: %v", name, w, err)
				}
			}
			if _, err := b.Head(t.Context(), "k"); err == nil || blob.Permanent(err) {
				t.Errorf("%s: head: %v", name, err)
			}
		})
	}
}

// Whatever keeps a request from a server is told with its cause and a remedy, and ends no job.
func TestAWayThatIsBarredIsNamed(t *testing.T) {
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail
	tlsServer.StartTLS()
	defer tlsServer.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	mute := muteServer(t)
	swap := strings.NewReplacer("https://", "http://", "http://", "https://").Replace
	var wg sync.WaitGroup
	for name, c := range map[string]struct {
		endpoint string
		words    []string
	}{
		"nothing listens":          {gone.URL, []string{"nothing listens at " + strings.TrimPrefix(gone.URL, "http://"), "start the S3 server"}},
		"an unknown authority":     {tlsServer.URL, []string{"authority", "AWS_CA_BUNDLE"}},
		"http to a port for https": {swap(tlsServer.URL), []string{"speaks TLS", "https://"}},
		"https to a port for http": {swap(plain.URL), []string{"does not speak TLS", "http://"}},
		"a name that is not there": {"http://no-such-host.invalid", []string{"no-such-host.invalid", "s3.endpoint"}},
		"it hangs up":              {mute, []string{"closed the connection"}},
	} {
		wg.Go(func() { // each takes the pauses between a request's attempts
			client, err := object.New(object.Config{Endpoint: c.endpoint, Region: "us-east-1", PathStyle: true, AccessKeyID: "AK", SecretAccessKey: "secret"})
			if err != nil {
				t.Error(err)
				return
			}
			err = client.Bucket("box", object.Options{}).Put(t.Context(), "k", nil)
			var f *object.Fault
			if err == nil || blob.Permanent(err) || !errors.As(err, &f) || f.Cause == "" || f.Remedy == "" {
				t.Errorf("%s: %v", name, err)
				return
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: no %q in: %v", name, w, err)
				}
			}
			if strings.Contains(err.Error(), "operation error") {
				t.Errorf("%s: the SDK's own words are told: %v", name, err)
			}
		})
	}
	wg.Wait()
}

// muteServer takes connections and hangs up once a request came.
func muteServer(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 16))
			conn.Close()
		}
	}()
	return "http://" + ln.Addr().String()
}

func TestACallThatIsCalledOffSaysNoMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := s3(func(r *http.Request) (*http.Response, error) { return nil, r.Context().Err() }).bucket(t, object.Options{})
	if err := b.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "operation error") {
		t.Error(err)
	}
}
