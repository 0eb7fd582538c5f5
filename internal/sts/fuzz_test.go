package sts

import (
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzFormsAreAnsweredInXML sends any form or query of a verified caller. The answer is a whole document, never an
// internal failure, and only the role of the settings gives keys of a role.
func FuzzFormsAreAnsweredInXML(f *testing.F) {
	const version = "&Version=2011-06-15"
	for _, form := range []string{"Action=GetCallerIdentity" + version, "Action=GetSessionToken&DurationSeconds=900" + version,
		"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fr&RoleSessionName=ab" + version,
		"Action=AssumeRole&RoleArn=arn:aws:iam::000000000000:role/r/&RoleSessionName=%00&SourceIdentity=a%ff", "Action=AssumeRole&Policy=&Tags.member.1.Key=a",
		"Action=GetSessionToken&DurationSeconds=1e3", "Action;=%zz", "Action=<b>&Action=GetCallerIdentity"} {
		f.Add(form, true)
		f.Add(form, false)
	}
	h := &Handler{Verifier: verdict{}, Sessions: sessions(f, 1), Log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, form string, post bool) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if !post {
			r.Method, r.URL.RawQuery = http.MethodGet, form
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var answer struct {
			XMLName xml.Name
			Keys    string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
			Arn     string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
			Code    string `xml:"Error>Code"`
		}
		d := xml.NewDecoder(w.Body)
		if err := d.Decode(&answer); err != nil {
			t.Fatalf("%q: %d, %v", form, w.Code, err)
		}
		if _, err := d.Token(); err != io.EOF {
			t.Fatalf("%q: there is more than a document: %v", form, err)
		}
		if w.Code != 200 && w.Code != 400 && w.Code != 403 || (w.Code == 200) != (answer.Code == "") {
			t.Fatalf("%q: %d %q", form, w.Code, answer.Code)
		}
		if answer.Keys != "" && !strings.HasPrefix(answer.Arn, "arn:aws:sts::000000000000:assumed-role/r/") {
			t.Fatalf("%q gives keys of %q", form, answer.Arn)
		}
	})
}
