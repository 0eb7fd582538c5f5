package s3serve

import (
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
)

// A bucket in which nothing is set answers to every operation of S3 that reads a setting as S3 does: with its default, or an error that says that there is none.
func TestABucketKeepsS3sAnswersWhereNothingIsSet(t *testing.T) {
	w := newWire(t)
	for query, want := range map[string]string{ // root of the document, or code of the error
		"abac=": "AbacStatus", "accelerate=": "AccelerateConfiguration", "acl=": "AccessControlPolicy", "analytics=": "ListBucketAnalyticsConfigurationResult",
		"analytics=&id=x": "NoSuchConfiguration", "cors=": "NoSuchCORSConfiguration", "encryption=": "ServerSideEncryptionConfigurationNotFoundError",
		"intelligent-tiering=": "ListBucketIntelligentTieringConfigurationsOutput", "intelligent-tiering=&id=x": "NoSuchConfiguration",
		"inventory=": "ListInventoryConfigurationsResult", "inventory=&id=x": "NoSuchConfiguration", "lifecycle=": "NoSuchLifecycleConfiguration",
		"location=": "LocationConstraint", "logging=": "BucketLoggingStatus", "metadataConfiguration=": "MetadataConfigurationNotFound",
		"metadataTable=": "MetadataConfigurationNotFound", "metrics=": "ListMetricsConfigurationsResult", "metrics=&id=x": "NoSuchConfiguration",
		"notification=": "NotificationConfiguration", "object-lock=": "ObjectLockConfigurationNotFoundError", "ownershipControls=": "OwnershipControls",
		"policy=": "NoSuchBucketPolicy", "policyStatus=": "NoSuchBucketPolicy", "publicAccessBlock=": "NoSuchPublicAccessBlockConfiguration",
		"replication=": "ReplicationConfigurationNotFoundError", "requestPayment=": "RequestPaymentConfiguration", "tagging=": "NoSuchTagSet",
		"versioning=": "VersioningConfiguration", "website=": "NoSuchWebsiteConfiguration",
	} {
		r := w.do(t, ask{method: "GET", target: "/box?" + query})
		var root struct {
			XMLName xml.Name
			Code    string
		}
		err := xml.Unmarshal([]byte(r.body), &root)
		got, status := root.XMLName.Local, http.StatusOK
		if got == "Error" {
			got, status = root.Code, http.StatusNotFound
		}
		if err != nil || got != want || r.status != status || status == http.StatusOK && root.XMLName.Space != "http://s3.amazonaws.com/doc/2006-03-01/" {
			t.Errorf("%s: %d %s, want %s (%v)", query, r.status, r.body, want, err)
		}
	}
	if payer := element(w.must(t, ask{method: "GET", target: "/box?requestPayment="}).body, "Payer"); payer != "BucketOwner" {
		t.Errorf("who pays: %q", payer)
	}
	for query, want := range map[string]int{"lifecycle=": http.StatusNoContent, "encryption=": http.StatusNoContent, "replication=": http.StatusNoContent,
		"publicAccessBlock=": http.StatusNoContent, "metadataConfiguration=": http.StatusNoContent, "analytics=&id=x": http.StatusNotFound, "inventory=&id=x": http.StatusNotFound} {
		if r := w.do(t, ask{method: "DELETE", target: "/box?" + query}); r.status != want {
			t.Errorf("delete %s: %d %s", query, r.status, r.body)
		}
	}
	w.must(t, ask{method: "HEAD", target: "/box"}) // nothing deleted the bucket
}

// Setting what the embedded S3 does not have is refused in words that name it, and changes nothing.
func TestASettingThatIsNotKeptIsRefused(t *testing.T) {
	w := newWire(t)
	for name, s := range settings {
		r := w.document(t, "PUT", "/box?"+name+"=&id=x", "<Configuration></Configuration>")
		if r.status != http.StatusNotImplemented || r.code() != "NotImplemented" || !strings.Contains(element(r.body, "Message"), s.what) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	for _, target := range []string{"/box?metadataConfiguration=", "/box?metadataTable="} {
		if r := w.document(t, "POST", target, "<Configuration></Configuration>"); r.status < 400 {
			t.Errorf("POST %s: %d %s", target, r.status, r.body)
		}
	}
	if r := w.document(t, "PUT", "/box?versioning=", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"); r.status != http.StatusNotImplemented ||
		r.code() != "NotImplemented" || !strings.Contains(element(r.body, "Message"), "versions") {
		t.Errorf("versioning: %d %s", r.status, r.body)
	}
	if r := w.do(t, ask{method: "GET", target: "/other?logging="}); r.code() != "NoSuchBucket" {
		t.Errorf("of no bucket: %d %s", r.status, r.body)
	}
	unsigned := "GET /box?logging= HTTP/1.1\r\nHost: 127.0.0.1:4601\r\nX-Amz-Server-Side-Encryption: AES256\r\n\r\n"
	if r := w.raw(t, []byte(unsigned), "GET")[0]; r.status < 400 {
		t.Errorf("unsigned: %d %s", r.status, r.body)
	}
}

// An operation of S3 that the gateway does not know is not taken for another: no object is overwritten or answered, no bucket made or deleted.
func TestAnUnknownOperationIsNotTakenForAnother(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/k", "hello")
	w.must(t, ask{method: "PUT", target: "/empty"})
	for _, a := range []ask{{method: "PUT", target: "/box/k?encryption=", body: []byte("<ObjectEncryption/>")}, {method: "PUT", target: "/box/k?renameObject="},
		{method: "GET", target: "/box/k?torrent="}, {method: "PUT", target: "/fresh?abac="}, {method: "GET", target: "/box?session="},
		{method: "PUT", target: "/fresh?metadataInventoryTable="}, {method: "PUT", target: "/fresh?metadataJournalTable="}} {
		if r := w.do(t, a); r.status != http.StatusNotImplemented || r.code() != "NotImplemented" {
			t.Errorf("%s %s: %d %s", a.method, a.target, r.status, r.body)
		}
	}
	for _, target := range []string{"/empty?metadataTable=", "/empty?abac="} {
		w.do(t, ask{method: "DELETE", target: target})
	}
	w.must(t, ask{method: "HEAD", target: "/empty"})
	if r := w.do(t, ask{method: "HEAD", target: "/fresh"}); r.status != http.StatusNotFound {
		t.Errorf("a bucket was made: %d", r.status)
	}
	if r := w.must(t, ask{method: "GET", target: "/box/k?x-id=GetObject"}); r.body != "hello" {
		t.Errorf("the object became %q", r.body)
	}
}
