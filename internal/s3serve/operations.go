package s3serve

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// route is a kind of request and the S3 operation that it is. The gateway routes in the same order, and the store
// compares both results (see call).
type route struct {
	method    string
	object    bool     // the address has a key
	query     []string // parameters that the request has: NAME, or NAME=VALUE
	copies    bool     // it has the header x-amz-copy-source
	operation string
}

// routes lists the requests that the gateway serves; the first match counts.
var routes = append(append(subresources(), []route{
	{http.MethodGet, true, []string{"tagging"}, false, "GetObjectTagging"},
	{http.MethodGet, true, []string{"retention"}, false, "GetObjectRetention"},
	{http.MethodGet, true, []string{"legal-hold"}, false, "GetObjectLegalHold"},
	{http.MethodGet, true, []string{"acl"}, false, "GetObjectAcl"},
	{http.MethodGet, true, []string{"attributes"}, false, "GetObjectAttributes"},
	{http.MethodGet, true, []string{"uploadId"}, false, "ListParts"},
	{http.MethodGet, true, nil, false, "GetObject"},
	{http.MethodHead, true, nil, false, "HeadObject"},
	{http.MethodDelete, true, []string{"tagging"}, false, "DeleteObjectTagging"},
	{http.MethodDelete, true, []string{"uploadId"}, false, "AbortMultipartUpload"},
	{http.MethodDelete, true, nil, false, "DeleteObject"},
	{http.MethodPost, true, []string{"restore"}, false, "RestoreObject"},
	{http.MethodPost, true, []string{"select", "select-type=2"}, false, "SelectObjectContent"},
	{http.MethodPost, true, []string{"uploadId"}, false, "CompleteMultipartUpload"},
	{http.MethodPost, true, []string{"uploads"}, false, "CreateMultipartUpload"},
	{http.MethodPut, true, []string{"tagging"}, false, "PutObjectTagging"},
	{http.MethodPut, true, []string{"retention"}, false, "PutObjectRetention"},
	{http.MethodPut, true, []string{"legal-hold"}, false, "PutObjectLegalHold"},
	{http.MethodPut, true, []string{"acl"}, false, "PutObjectAcl"},
	{http.MethodPut, true, []string{"uploadId", "partNumber"}, true, "UploadPartCopy"},
	{http.MethodPut, true, []string{"uploadId", "partNumber"}, false, "UploadPart"},
	{http.MethodPut, true, nil, true, "CopyObject"},
	{http.MethodPut, true, nil, false, "PutObject"},
}...), []route{
	{http.MethodGet, false, []string{"location"}, false, "GetBucketLocation"},
	{http.MethodGet, false, []string{"uploads"}, false, "ListMultipartUploads"},
	{http.MethodGet, false, []string{"versions"}, false, "ListObjectVersions"},
	{http.MethodGet, false, []string{"policyStatus"}, false, "GetBucketPolicyStatus"},
	{http.MethodGet, false, []string{"list-type=2"}, false, "ListObjectsV2"},
	{http.MethodGet, false, nil, false, "ListObjects"},
	{http.MethodHead, false, nil, false, "HeadBucket"},
	{http.MethodPut, false, nil, false, "CreateBucket"},
	{http.MethodDelete, false, nil, false, "DeleteBucket"},
	{http.MethodPost, false, []string{"delete"}, false, "DeleteObjects"},
	{http.MethodPost, false, nil, false, "PostObject"},
}...)

// subresource is an attribute of a bucket that requests read, set and delete, each with its own operation. The
// actions are AWS's (Service Authorization Reference: Amazon S3); "" means that there is no such request.
type subresource struct {
	parameter           string
	operation           string // without Get, Put or Delete
	reads, sets, clears string // actions
}

// ofBucket lists the attributes in the order in which the gateway looks for them.
var ofBucket = []subresource{
	{"tagging", "BucketTagging", "s3:GetBucketTagging", "s3:PutBucketTagging", "s3:PutBucketTagging"},
	{"ownershipControls", "BucketOwnershipControls", "s3:GetBucketOwnershipControls", "s3:PutBucketOwnershipControls", "s3:PutBucketOwnershipControls"},
	{"versioning", "BucketVersioning", "s3:GetBucketVersioning", "s3:PutBucketVersioning", ""},
	{"policy", "BucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"},
	{"cors", "BucketCors", "s3:GetBucketCORS", "s3:PutBucketCORS", "s3:PutBucketCORS"},
	{"object-lock", "ObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration", ""},
	{"acl", "BucketAcl", "s3:GetBucketAcl", "s3:PutBucketAcl", ""},
	{"website", "BucketWebsite", "s3:GetBucketWebsite", "s3:PutBucketWebsite", "s3:DeleteBucketWebsite"},
	{"abac", "BucketAbac", "s3:GetBucketAbac", "s3:PutBucketAbac", "s3:PutBucketAbac"},
	{"accelerate", "BucketAccelerateConfiguration", "s3:GetAccelerateConfiguration", "s3:PutAccelerateConfiguration", ""},
	{"analytics", "BucketAnalyticsConfiguration", "s3:GetAnalyticsConfiguration", "s3:PutAnalyticsConfiguration", "s3:PutAnalyticsConfiguration"},
	{"encryption", "BucketEncryption", "s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration", "s3:PutEncryptionConfiguration"},
	{"intelligent-tiering", "BucketIntelligentTieringConfiguration", "s3:GetIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration"},
	{"inventory", "BucketInventoryConfiguration", "s3:GetInventoryConfiguration", "s3:PutInventoryConfiguration", "s3:PutInventoryConfiguration"},
	{"lifecycle", "BucketLifecycle", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration", "s3:PutLifecycleConfiguration"},
	{"logging", "BucketLogging", "s3:GetBucketLogging", "s3:PutBucketLogging", ""},
	{"metadataConfiguration", "BucketMetadataConfiguration", "s3:GetBucketMetadataTableConfiguration", "s3:CreateBucketMetadataTableConfiguration", "s3:DeleteBucketMetadataTableConfiguration"},
	{"metadataTable", "BucketMetadataTableConfiguration", "s3:GetBucketMetadataTableConfiguration", "s3:CreateBucketMetadataTableConfiguration", "s3:DeleteBucketMetadataTableConfiguration"},
	{"metrics", "BucketMetricsConfiguration", "s3:GetMetricsConfiguration", "s3:PutMetricsConfiguration", "s3:PutMetricsConfiguration"},
	{"notification", "BucketNotificationConfiguration", "s3:GetBucketNotification", "s3:PutBucketNotification", ""},
	{"publicAccessBlock", "PublicAccessBlock", "s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock"},
	{"replication", "BucketReplication", "s3:GetReplicationConfiguration", "s3:PutReplicationConfiguration", "s3:PutReplicationConfiguration"},
	{"requestPayment", "BucketRequestPayment", "s3:GetBucketRequestPayment", "s3:PutBucketRequestPayment", ""},
}

// subresources returns the routes of the attributes of buckets.
func subresources() (all []route) {
	for _, r := range ofBucket {
		q := []string{r.parameter}
		all = append(all, route{http.MethodGet, false, q, false, "Get" + r.operation}, route{http.MethodPut, false, q, false, "Put" + r.operation})
		if r.clears != "" {
			all = append(all, route{http.MethodDelete, false, q, false, "Delete" + r.operation})
		}
	}
	return all
}

// actions are the AWS actions that an operation needs, by operation. DeleteObjects needs s3:DeleteObject for each
// of its keys, and a copy s3:GetObject on its source and the rights to the tags that it copies; the store asks for
// these.
var actions = actionTable()

func actionTable() map[string]string {
	table := map[string]string{
		"ListBuckets": "s3:ListAllMyBuckets", "CreateBucket": "s3:CreateBucket", "DeleteBucket": "s3:DeleteBucket", "HeadBucket": "s3:ListBucket",
		"GetBucketLocation": "s3:GetBucketLocation", "GetBucketPolicyStatus": "s3:GetBucketPolicyStatus",
		"ListObjects": "s3:ListBucket", "ListObjectsV2": "s3:ListBucket", "ListObjectVersions": "s3:ListBucketVersions",
		"ListMultipartUploads": "s3:ListBucketMultipartUploads", "ListParts": "s3:ListMultipartUploadParts",
		"GetObject": "s3:GetObject", "HeadObject": "s3:GetObject", "SelectObjectContent": "s3:GetObject", "GetObjectAttributes": "s3:GetObjectAttributes",
		"GetObjectTagging": "s3:GetObjectTagging", "GetObjectAcl": "s3:GetObjectAcl", "GetObjectRetention": "s3:GetObjectRetention", "GetObjectLegalHold": "s3:GetObjectLegalHold",
		"PutObject": "s3:PutObject", "PostObject": "s3:PutObject", "CopyObject": "s3:PutObject", "CreateMultipartUpload": "s3:PutObject",
		"UploadPart": "s3:PutObject", "UploadPartCopy": "s3:PutObject", "CompleteMultipartUpload": "s3:PutObject", "AbortMultipartUpload": "s3:AbortMultipartUpload",
		"DeleteObject": "s3:DeleteObject", "DeleteObjects": "", "RestoreObject": "s3:RestoreObject",
		"PutObjectTagging": "s3:PutObjectTagging", "DeleteObjectTagging": "s3:DeleteObjectTagging", "PutObjectAcl": "s3:PutObjectAcl",
		"PutObjectRetention": "s3:PutObjectRetention", "PutObjectLegalHold": "s3:PutObjectLegalHold",
	}
	for _, r := range ofBucket {
		table["Get"+r.operation], table["Put"+r.operation] = r.reads, r.sets
		if r.clears != "" {
			table["Delete"+r.operation] = r.clears
		}
	}
	return table
}

// act is an operation on a bucket or object. Rights are decided on it.
type act struct {
	operation string
	bucket    string
	key       string // of the object; "" for operations on buckets
	prefix    string // of a list
	plain     bool   // it names no attribute
	more      []string
}

// needs returns the AWS actions that the act needs.
func (a act) needs() []string {
	if action := actions[a.operation]; action != "" {
		return append([]string{action}, a.more...)
	}
	return a.more
}

// lists reports whether the act lists a part of a bucket, named by its prefix.
func (a act) lists() bool {
	switch a.operation {
	case "ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads":
		return true
	}
	return false
}

// actOf returns the act of a request, by its method, address and headers. ok is false if it is no operation.
func actOf(request *fasthttp.RequestCtx, a *address) (found act, ok bool) {
	if a == nil || a.bucket == "" {
		return act{}, false
	}
	header := func(name string) string { return string(request.Request.Header.Peek(name)) }
	method, copies := string(request.Method()), header("X-Amz-Copy-Source") != ""
	for _, r := range routes {
		if r.matches(method, a, copies) {
			found = act{operation: r.operation, bucket: a.bucket, key: a.key, plain: len(r.query) == 0}
			break
		}
	}
	if found.lists() {
		found.prefix, _ = a.value("prefix")
	}
	if form, is := request.Value(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult); is && found.operation == "PostObject" {
		found.key = form.Fields["key"]
		header = func(name string) string { return form.Fields[cmp.Or(formFields[name], strings.ToLower(name))] }
	}
	version, _ := a.value("versionId")
	found.more = also(found.operation, version, header)
	return found, found.operation != ""
}

// formFields are the fields of a form that have another name than the header that means the same (S3: POST object).
var formFields = map[string]string{"X-Amz-Tagging": "tagging", "X-Amz-Acl": "acl"}

// matches reports whether a request is of this route.
func (r route) matches(method string, a *address, copies bool) bool {
	if r.method != method || r.object != (a.key != "") || r.copies && !copies {
		return false
	}
	for _, parameter := range r.query {
		name, want, valued := strings.Cut(parameter, "=")
		if value, has := a.value(name); !has || valued && value != want {
			return false
		}
	}
	return true
}

// ofKind are the parameters that name an attribute of a bucket (false) or object (true).
var ofKind = kinds()

func kinds() map[bool]map[string]bool {
	all := map[bool]map[string]bool{false: {}, true: {}}
	for _, r := range routes {
		if len(r.query) == 1 && !strings.Contains(r.query[0], "=") {
			all[r.object][r.query[0]] = true
		}
	}
	return all
}

// refuseKind refuses a request that names two attributes, because it would depend on an order which of them is
// meant, and a request that names one for which its method has no operation: the gateway would take DELETE
// /bucket?logging for the deletion of the bucket. Both are S3's answers.
func refuseKind(a *address, what act) error {
	var found []string
	for name := range a.each {
		if ofKind[a.key != ""][name] {
			found = append(found, name)
		}
	}
	switch {
	case len(found) == 1 && what.plain:
		return s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	case len(found) < 2:
		return nil
	}
	return refusal(http.StatusBadRequest, "InvalidArgument", "Conflicting query string parameters: "+strings.Join(found, ", "))
}

// writeHeaders are the headers of a write that need an action of their own. A refusal names the first action that is
// denied, so their order is fixed.
var writeHeaders = []struct{ name, action string }{
	{"X-Amz-Tagging", "s3:PutObjectTagging"}, {"X-Amz-Acl", "s3:PutObjectAcl"},
	{"X-Amz-Object-Lock-Mode", "s3:PutObjectRetention"}, {"X-Amz-Object-Lock-Legal-Hold", "s3:PutObjectLegalHold"},
}

// also returns the actions that a request needs beside that of its operation, because of its headers or the fields
// of its form.
func also(operation, version string, header func(string) string) (more []string) {
	switch operation {
	case "GetObject", "HeadObject":
		if version != "" {
			more = append(more, "s3:GetObjectVersion")
		}
	case "GetObjectAttributes":
		more = append(more, "s3:GetObject")
	case "DeleteObject":
		if version != "" {
			more = append(more, "s3:DeleteObjectVersion")
		}
	case "CreateBucket":
		if strings.EqualFold(header("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
			more = append(more, "s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning")
		}
		if header("X-Amz-Object-Ownership") != "" {
			more = append(more, "s3:PutBucketOwnershipControls")
		}
	case "PutObject", "PostObject", "CopyObject", "CreateMultipartUpload":
		for _, h := range writeHeaders {
			if header(h.name) != "" {
				more = append(more, h.action)
			}
		}
	}
	if strings.EqualFold(header("X-Amz-Bypass-Governance-Retention"), "true") {
		more = append(more, "s3:BypassGovernanceRetention")
	}
	return more
}
