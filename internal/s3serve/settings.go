package s3serve

import (
	"context"
	"fmt"
	"net/http"

	"github.com/valyala/fasthttp"
)

// setting is a sub-resource of buckets that the embedded S3 does not have. SDKs, Terraform and
// backup programs read many of them before they do anything else. So reading one answers as S3
// does for a bucket in which nothing is set, deleting one succeeds where it does in S3, and
// only setting one is refused (501 NotImplemented). The gateway answers 501 to all of them.
type setting struct {
	what      string // in words
	document  string // S3's answer to GET, without the head and the namespace; "" if it is an error
	code, why string // S3's error, if document is "". With a document: of a GET or DELETE that names one of many configurations by its id
}

// settings are the settings by the name of their query parameter. Each answer is that of the S3
// operation that reads the setting, for example GetBucketLifecycleConfiguration.
//
// Bucket encryption is an exception: since 2023 S3 encrypts every new bucket, and says so. The
// embedded S3 answers as S3 did for a bucket without encryption, unless it has keys and the bucket
// has default encryption (see withDefaults).
var settings = map[string]setting{
	"abac":                  {what: "access control by tags", document: "<AbacStatus><Status>Disabled</Status></AbacStatus>"},
	"accelerate":            {what: "transfer acceleration", document: "<AccelerateConfiguration></AccelerateConfiguration>"},
	"analytics":             byID("analytics", "ListBucketAnalyticsConfigurationResult"),
	"encryption":            {what: "encryption", code: "ServerSideEncryptionConfigurationNotFoundError", why: "The server side encryption configuration was not found"},
	"intelligent-tiering":   byID("intelligent tiering", "ListBucketIntelligentTieringConfigurationsOutput"),
	"inventory":             byID("inventories", "ListInventoryConfigurationsResult"),
	"lifecycle":             {what: "lifecycle rules", code: "NoSuchLifecycleConfiguration", why: "The lifecycle configuration does not exist"},
	"logging":               {what: "access logs", document: "<BucketLoggingStatus></BucketLoggingStatus>"},
	"metadataConfiguration": {what: "metadata tables", code: "MetadataConfigurationNotFound", why: "The metadata configuration does not exist"},
	"metadataTable":         {what: "metadata tables", code: "MetadataConfigurationNotFound", why: "The metadata configuration does not exist"},
	"metrics":               byID("metrics", "ListMetricsConfigurationsResult"),
	"notification":          {what: "notifications", document: "<NotificationConfiguration></NotificationConfiguration>"},
	"publicAccessBlock":     {what: "blocks of public access", code: "NoSuchPublicAccessBlockConfiguration", why: "The public access block configuration was not found"},
	"replication":           {what: "replication", code: "ReplicationConfigurationNotFoundError", why: "The replication configuration was not found"},
	"requestPayment":        {what: "payment by the requester", document: "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"},
}

// byID is a setting of which a bucket can have many, each with an id. root is the root of the
// list of them.
func byID(what, root string) setting {
	return setting{what: what, document: "<" + root + "><IsTruncated>false</IsTruncated></" + root + ">", code: "NoSuchConfiguration", why: "The specified configuration does not exist."}
}

// settingOf returns the setting that a request is about; ok is false if it is about none.
func settingOf(a *address) (s setting, ok bool) {
	if a == nil || a.bucket == "" || a.key != "" {
		return setting{}, false
	}
	for name := range a.each {
		if s, ok = settings[name]; ok {
			return s, true
		}
	}
	return setting{}, false
}

// allowedKey is among the values of a request whose signer may use its bucket.
const allowedKey = "batholith-allowed"

func allow(ctx context.Context) {
	if request, ok := ctx.(*fasthttp.RequestCtx); ok {
		request.SetUserValue(allowedKey, true)
	}
}

// unset replaces the 501 to a request about a setting, if its signer may use the bucket.
func unset(ctx *fasthttp.RequestCtx) {
	a := addressOf(ctx)
	s, ok := settingOf(a)
	if !ok || ctx.UserValue(allowedKey) == nil {
		return
	}
	one := s.document == "" || s.code != "" && a.has("id") // whose absence is an error
	switch {
	case ctx.IsGet() && !one:
		ctx.SetStatusCode(http.StatusOK)
		ctx.Response.Header.SetContentType("application/xml")
		ctx.SetBody(named([]byte(xmlHead+s.document), 0))
	case ctx.IsGet(), ctx.IsDelete() && s.document != "" && one:
		fail(ctx, refusal(http.StatusNotFound, s.code, s.why))
	case ctx.IsDelete():
		ctx.ResetBody()
		ctx.SetStatusCode(http.StatusNoContent)
	default:
		fail(ctx, errLacks(s.what))
	}
}

func errLacks(what string) error {
	return refusal(http.StatusNotImplemented, "NotImplemented",
		fmt.Sprintf("The embedded S3 has no %s, and nothing was changed. Leave this setting out, or use an external S3.", what))
}

// unrouted are parameters that make another operation of a request in S3, but for which the
// gateway has no route: it would list, make or delete the bucket, or answer, replace or delete
// the object. The values are in words, for an error.
var unrouted = map[bool]map[string]string{
	false: {"abac": settings["abac"].what, "metadataConfiguration": settings["metadataConfiguration"].what, "metadataTable": settings["metadataTable"].what,
		"metadataInventoryTable": "metadata tables", "metadataJournalTable": "metadata tables", "session": "sessions"}, // of a bucket
	true: {"torrent": "torrents", "renameObject": "renaming of objects", "encryption": "encryption"}, // of an object
}

// refuseUnrouted refuses a request whose operation the gateway would take for another one.
func refuseUnrouted(a *address) error {
	if a == nil || a.bucket == "" {
		return nil
	}
	for name := range a.each {
		if what, ok := unrouted[a.key != ""][name]; ok {
			return errLacks(what)
		}
	}
	return nil
}
