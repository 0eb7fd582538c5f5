package object

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
)

// A ruling is the meaning of an S3 error code: cause, remedy, and whether a retry is useless.
type ruling struct {
	verdict error  // permanent error to wrap; nil: the fault may be temporary
	cause   string // "": the text of verdict
	remedy  string
}

// Rulings that several codes share.
var (
	noObject = ruling{verdict: batholith.ErrNoObject}
	noBucket = ruling{batholith.ErrNoBucket, "", "create the bucket, or correct its name"}
	changed  = ruling{verdict: batholith.ErrObjectChanged}
	refused  = ruling{verdict: batholith.ErrRefused}
	denied   = ruling{batholith.ErrAccessDenied, "", "allow it to the role's keys in their policy, and in the bucket's"}
	unknown  = ruling{batholith.ErrAccessDenied, "", "the S3 does not know this access key: create it there, or name another in the settings"}
	archived = ruling{batholith.ErrRefused, "the object is archived", "restore it in the S3 and create the job again"}
	noKey    = ruling{batholith.ErrRefused, "the KMS key of the job or of the bucket cannot be used", "check s3EncryptionKeyId, and that the S3 server is configured for KMS"}
	keyOff   = ruling{batholith.ErrAccessDenied, "the KMS key of the job or of the bucket is disabled or denied", "enable it, and allow its use to the role's keys"}

	// None of the following ends a job: the request succeeds once somebody has renewed the
	// keys, set the clock or corrected a setting.
	expired   = ruling{nil, "the temporary keys have expired", "renew them where they come from (aws sso login, the token service, the credentials file); nothing is lost meanwhile"}
	signature = ruling{nil, "the signature is wrong", "check that the secret access key belongs to the access key id, and that no proxy changes the Host header or the path"}
	skewed    = ruling{nil, "the clocks of this machine and of the S3 differ by too much", "set this machine's clock (NTP)"}
	region    = ruling{nil, "the region is wrong, or the bucket is in another", "set s3.region to the region of the bucket, and s3.endpoint to that region's"}
	busy      = ruling{nil, "the S3 server is busy", ""}
	full      = ruling{nil, "the S3 server has no room, or a quota is used up", "make room there, or raise the quota; jobs then continue automatically"}
	again     = ruling{nil, "the S3 server did not take the request this time", ""}
)

// rulings maps error codes to rulings. A code that is missing here is judged by its HTTP
// status. The codes are those of Amazon S3, MinIO (InvalidTokenId, XMinio…), Ceph
// (UserSuspended, QuotaExceeded), Cloudflare R2 (Unauthorized, ExpiredRequest), Google
// (AuthenticationRequired, InvalidSecurity), versitygw (AccessForbidden, ObjectParentIsFile)
// and token services (…Exception, InvalidClientTokenId).
var rulings = map[string]ruling{
	"NoSuchKey": noObject, "NoSuchVersion": noObject, "NotFound": noObject,
	"NoSuchBucket": noBucket, "InvalidBucketName": noBucket,
	"PreconditionFailed": changed,

	"AccessDenied": denied, "AccessDeniedException": denied, "Forbidden": denied, "AccessForbidden": denied, "AllAccessDisabled": denied, "AccountProblem": denied,
	"NotSignedUp": denied, "InvalidPayer": denied, "InvalidSecurity": denied, "UserSuspended": denied, "UserProjectAccountProblem": denied,
	"UnauthorizedAccess": denied, "Unauthorized": denied, "AuthenticationRequired": denied, "MissingSecurityHeader": denied,
	"InvalidAccessKeyId": unknown, "XMinioInvalidIAMCredentials": unknown, "InvalidClientTokenId": unknown, "UnrecognizedClientException": unknown,

	"ExpiredToken": expired, "ExpiredTokenException": expired, "InvalidToken": expired, "InvalidTokenId": expired, "TokenRefreshRequired": expired,
	"RequestExpired": expired, "ExpiredRequest": expired, "InvalidIdentityToken": expired, "IDPCommunicationError": expired, "UnauthorizedException": expired,
	"SignatureDoesNotMatch": signature, "InvalidSignatureException": signature, "IncompleteSignature": signature,
	"RequestTimeTooSkewed": skewed, "RequestInTheFuture": skewed,

	"PermanentRedirect": region, "TemporaryRedirect": region, "Redirect": region, "AuthorizationHeaderMalformed": region, "InvalidRegion": region,
	"IllegalLocationConstraintException": region, "BucketRegionError": region,

	"SlowDown": busy, "SlowDownRead": busy, "SlowDownWrite": busy, "ServerBusy": busy, "Throttling": busy, "ThrottlingException": busy, "ThrottledException": busy,
	"RequestThrottled": busy, "RequestThrottledException": busy, "RequestLimitExceeded": busy, "BandwidthLimitExceeded": busy, "TooManyRequests": busy,
	"TooManyRequestsException": busy, "LimitExceededException": busy, "UserRateLimitExceeded": busy, "RateLimitExceeded": busy, "PriorRequestNotComplete": busy,
	"QuotaExceeded": full, "XMinioAdminBucketQuotaExceeded": full, "XMinioStorageFull": full, "InsufficientStorage": full, "BucketQuotaExceeded": full,
	// The body was changed or cut off on the way, or the upload was lost: a retry may succeed.
	"RequestTimeout": again, "IncompleteBody": again, "BadDigest": again, "CrcMismatch": again, "XAmzContentSHA256Mismatch": again,
	"XAmzContentChecksumMismatch": again, "InvalidPart": again, "NoSuchUpload": again, "OperationAborted": again, "ConditionalRequestConflict": again, "ClientDisconnected": again,

	"InvalidObjectState": archived, "ObjectNotInActiveTierError": archived,
	"NotImplemented":                refused,
	"ObjectParentIsFile":            {batholith.ErrRefused, "another object is named as a folder of this key", "the embedded S3 keeps no key below another object: choose another prefix"},
	"ExistingObjectIsDirectory":     {batholith.ErrRefused, "there are objects below this key", "the embedded S3 keeps no object with others below it: choose another name"},
	"XMinioObjectExistsAsDirectory": {batholith.ErrRefused, "another object is named as a folder of this key", "MinIO keeps no key below another object: choose another prefix"},
	"XMinioParentIsObject":          {batholith.ErrRefused, "another object is named as a folder of this key", "MinIO keeps no key below another object: choose another prefix"},
}

// answered converts an error answer of a server into a Fault.
func answered(api smithy.APIError, err error) *Fault {
	// An answer of a proxy or a web server must not be judged by S3's codes.
	if f := foreign(err); f != nil {
		return f
	}
	if strings.Contains(api.ErrorMessage(), "must be made to API port") { // MinIO's console
		return notS3(at(err), said(api, err))
	}
	// r is comparable, so "r == region" below asks whether this ruling was chosen.
	r := rule(api.ErrorCode(), status(err))
	f := &Fault{Cause: r.cause, Remedy: r.remedy, Verdict: r.verdict}
	if f.Cause == "" && f.Verdict != nil {
		f.Cause = f.Verdict.Error()
	}
	words := said(api, err)
	if f.Cause == "" {
		f.Cause = "the S3 server answered " + words
	} else {
		f.Cause += " (" + words + ")"
	}
	// Amazon names the bucket's region in the answer.
	if home := header(err, "X-Amz-Bucket-Region"); home != "" && r == region {
		f.Remedy = fmt.Sprintf("the bucket is in %s: set s3.region to it, and s3.endpoint to that region's", home)
	}
	return f
}

// rule returns the ruling for an error code and its HTTP status (0: unknown). An unknown code
// with another 4xx status is permanent, except 408, 409, 425, 429 and 499.
func rule(code string, status int) ruling {
	if r, ok := rulings[code]; ok {
		return r
	}
	if strings.Contains(strings.ToUpper(code), "KMS") {
		return ruleKMS(code, status)
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return denied
	case http.StatusPreconditionFailed:
		return changed
	case http.StatusTooManyRequests:
		return busy
	case http.StatusInsufficientStorage:
		return full
	case http.StatusNotImplemented:
		return refused
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, 499: // 499 (nginx, MinIO): the client closed the connection
		return again
	}
	switch {
	case status >= 300 && status < 400:
		return region
	case status >= 400 && status < 500:
		return refused
	}
	return ruling{}
}

// ruleKMS judges error codes of key services, such as KMS.NotFoundException (Amazon, MinIO) and
// CloudKmsDisabledKey (Google).
func ruleKMS(code string, status int) ruling {
	is := func(words ...string) bool { // reports whether code contains one of words
		for _, w := range words {
			if strings.Contains(code, w) {
				return true
			}
		}
		return false
	}
	switch {
	case status >= 500, is("Throttl", "Internal", "Unavailable", "Timeout", "Limit"):
		return busy
	case is("Disabled", "State", "AccessDenied", "Denied"):
		return keyOff
	}
	return noKey
}

// said returns the server's code and message. For a 5xx status it adds the request id, with
// which the server's operator can find the error.
func said(api smithy.APIError, err error) string {
	words := api.ErrorCode()
	if m := api.ErrorMessage(); m != "" && m != words {
		words += ": " + strings.TrimRight(m, ". \n")
	}
	re := response(err)
	if re == nil {
		return words
	}
	if _, known := rulings[api.ErrorCode()]; !known {
		words = fmt.Sprintf("%d %s", re.HTTPStatusCode(), words)
	}
	if id := re.ServiceRequestID(); id != "" && re.HTTPStatusCode() >= 500 {
		words += ", request " + id
	}
	return words
}

// header returns a header of the error answer in err, or "".
func header(err error, name string) string {
	if re := response(err); re != nil {
		return re.Response.Header.Get(name)
	}
	return ""
}
