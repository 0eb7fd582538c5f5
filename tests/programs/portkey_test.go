package programs_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith/tests/harness"
)

// portkey runs the gateway of npm's @portkey-ai/gateway. It knows no endpoint but Amazon's: Amazon's names lead to a proxy here, as a name
// server would have it.
func (s *site) portkey(t *testing.T) {
	gateway := s.startGateway(t)
	const key = "portkey/in.jsonl"
	s.Put(key, records(3)) // its own upload of files signs a body that it does not send, which the embedded S3 refuses
	create := func(name, model string) (id string) {
		t.Helper()
		status, answer := gateway(t, http.MethodPost, "/v1/batches", map[string]any{"model": model, "input_file_id": "s3://batholith/" + key, "job_name": name,
			"role_arn": role, "output_data_config": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": "s3://batholith/portkey-out/"}}})
		made := decoded(t, answer)
		if id, _ = made["id"].(string); status != http.StatusOK || made["object"] != "batch" || id == "" {
			t.Fatalf("create: %d %s", status, answer)
		}
		return id // the ARN as one segment of a path
	}
	id := create("portkey-batch", quick)
	until(t, func() bool {
		status, answer := gateway(t, http.MethodGet, "/v1/batches/"+id, nil)
		batch := decoded(t, answer)
		if status != http.StatusOK || batch["id"] != id || plain(batch["input_file_id"]) != "s3://batholith/"+key || !strings.HasPrefix(plain(batch["output_file_id"]), "s3://batholith/portkey-out/") {
			t.Fatalf("retrieve: %d %s", status, answer)
		}
		for _, name := range []string{"created_at", "expires_at"} { // it reads dates; one that it cannot read is null
			if at, _ := batch[name].(float64); at < 1e12 {
				t.Fatalf("%s is %v", name, batch[name])
			}
		}
		return batch["status"] == "completed"
	})
	status, answer := gateway(t, http.MethodGet, "/v1/batches/"+id+"/output", nil)
	if lines := strings.Count(string(answer), "Good day."); status != http.StatusOK || lines != 3 || !strings.Contains(string(answer), `"custom_id":"R2"`) {
		t.Errorf("output: %d %s", status, answer)
	}
	status, answer = gateway(t, http.MethodGet, "/v1/files/"+url.QueryEscape("s3://batholith/portkey-out/"+harness.ID(plain(id))+"/in.jsonl.out")+"/content", nil)
	if status != http.StatusOK || !strings.Contains(string(answer), "Good day.") {
		t.Errorf("content: %d %s", status, answer)
	}
	status, answer = gateway(t, http.MethodGet, "/v1/batches", nil)
	if batches, _ := decoded(t, answer)["data"].([]any); status != http.StatusOK || len(batches) == 0 || at(batches[0], "id") != id {
		t.Errorf("list: %d %s", status, answer)
	}
	id = create("portkey-held", held)
	if status, answer = gateway(t, http.MethodPost, "/v1/batches/"+id+"/cancel", nil); status != http.StatusOK || at(decoded(t, answer), "status") != "success" {
		t.Errorf("cancel: %d %s", status, answer)
	}
	until(t, func() bool { return s.Job(plain(id)).Status == stopped })
}

// plain undoes what the gateway escapes.
func plain(v any) string {
	text, _ := v.(string)
	text, _ = url.QueryUnescape(text)
	return text
}

// startGateway starts the gateway and returns how it is asked.
func (s *site) startGateway(t *testing.T) func(t *testing.T, method, path string, body any) (int, []byte) {
	t.Helper()
	const start = "node_modules/@portkey-ai/gateway/build/start-server.js"
	if _, err := os.Stat(start); err != nil {
		t.Fatalf("%v\nThe gateway of this test is missing. Install it with: make deps", err)
	}
	proxy, ca := s.amazon(t)
	cmd := exec.CommandContext(t.Context(), "node", "-r", "./amazon.cjs", start, "--headless")
	cmd.Env = s.environment("AMAZON="+proxy, "NODE_EXTRA_CA_CERTS="+ca)
	cmd.WaitDelay = time.Second
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	port := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if p, ok := strings.CutPrefix(lines.Text(), "listens on "); ok {
				port <- p
			}
		}
		close(port)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the gateway said:\n%s", &complaints)
		}
	})
	at, ok := <-port
	if !ok {
		t.Fatal("the gateway does not start")
	}
	return func(t *testing.T, method, path string, body any) (int, []byte) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var sent io.Reader
		if body != nil {
			b, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			sent = bytes.NewReader(b)
		}
		r, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:"+at+path, sent)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"content-type": "application/json", "x-portkey-provider": "bedrock", "x-portkey-aws-region": region,
			"x-portkey-aws-access-key-id": s.At.AccessKeyID, "x-portkey-aws-secret-access-key": s.At.SecretAccessKey} {
			r.Header.Set(name, value)
		}
		return send(t, r)
	}
}

// amazon is a proxy with the names of Amazon's endpoints and a certificate of its own, and the file of who signed it.
func (s *site) amazon(t *testing.T) (address, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	names := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "amazon"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames: []string{"bedrock." + region + ".amazonaws.com", "s3." + region + ".amazonaws.com", "*.s3." + region + ".amazonaws.com"}}
	der, err := x509.CreateCertificate(rand.Reader, names, names, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		to := s.At.Bedrock
		if !strings.HasPrefix(r.In.Host, "bedrock.") {
			to = s.At.S3
		}
		u, err := url.Parse(to)
		if err != nil {
			panic(err)
		}
		r.SetURL(u)
		r.Out.Host = r.In.Host // it is signed
	}})
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String(), ca
}
