package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/words"
)

// askTime bounds one request to a server.
const askTime = 5 * time.Second

// server checks whether the server is reachable and ready, and returns that. alive reports
// whether a process has locked the data directory.
func (d *doctor) server(ctx context.Context, alive bool) bool {
	if d.o.Server == "" && d.closed {
		return false // its owner can see it, as was said
	}
	if d.o.Server == "" {
		why := ""
		if alive {
			why = "a process holds the directory and has not written its address there: it is starting or ending"
		}
		what, remedy := "no server is running for "+d.o.DataDir, "start one with: "+d.o.Serve
		if alive {
			what = "the server of " + d.o.DataDir + " has not said where it listens"
			remedy = "look again in a moment; if it stays so, look at the log of that process"
		}
		d.find(Finding{Note, "server", what, why, remedy})
		return false
	}
	if d.o.NameCertificate && d.o.Certificate == nil {
		d.find(Finding{Problem, "server", d.o.Server + " asks for a client certificate (tls.client_ca), and none is named", "",
			"name one: batholith doctor --client-cert FILE --client-key FILE, or BATHOLITH_CLIENT_CERT and BATHOLITH_CLIENT_KEY"})
		return false
	}
	// /healthz answers as soon as the process listens, /readyz when the database and the
	// journal are ready.
	url := strings.TrimSuffix(d.o.Server, "/")
	if status, err := d.status(ctx, url+"/healthz"); err != nil || status != http.StatusOK {
		f := Finding{Problem, "server", "no answer from " + url, reasonOfAnswer(status, err), "start it with: " + d.o.Serve}
		if alive {
			f.Remedy = "the process that uses the data directory does not answer: check its log, and stop it if necessary; no finished record is lost"
		}
		d.find(f)
		return false
	}
	if status, err := d.status(ctx, url+"/readyz"); err != nil || status != http.StatusOK {
		d.find(Finding{Problem, "server", url + " is there but not ready", reasonOfAnswer(status, err),
			"it takes up the journal at its start, which ends by itself; otherwise its log says why its database does not answer"})
		return false
	}
	d.find(Finding{Severity: Sound, Check: "server", What: url + " is ready"})
	return true
}

func reasonOfAnswer(status int, err error) string {
	if err != nil {
		return reason(err)
	}
	return fmt.Sprintf("it answered %d %s", status, http.StatusText(status))
}

// status returns the HTTP status of a GET.
func (d *doctor) status(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// reason is what the network says of a request, without the request.
func reason(err error) string { return cmp.Or(words.Network(err), err.Error()) }
