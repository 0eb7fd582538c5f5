package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
)

// keptFacts is the state of a job's kept results: finished records that could not be written to the output. Reason
// says why.
type keptFacts struct {
	State   batholith.Kept `json:"state"`
	Records int64          `json:"recordCount"`
	Reason  string         `json:"reason,omitempty"`
}

// kept returns the state of a job's kept results. A server that does not know the operation, such as Amazon's,
// keeps none.
func (c *clients) kept(ctx context.Context, job string) (k keptFacts, err error) {
	err = c.call(ctx, http.MethodGet, "/kept-results/"+url.PathEscape(job), &k)
	var refused *smithy.GenericAPIError
	if errors.As(err, &refused) && refused.Code == "UnknownOperationException" {
		return keptFacts{State: batholith.KeptNone}, nil
	}
	return k, err
}

// publishKept asks the server to write the kept results to the output. The server answers before it has done so;
// kept tells when. A job without kept results is refused with ConflictException.
func (c *clients) publishKept(ctx context.Context, job string) error {
	return c.call(ctx, http.MethodPost, "/kept-results/"+url.PathEscape(job)+"/publish", nil)
}

// discardKept asks the server to delete the kept results of a job, which cannot be undone.
func (c *clients) discardKept(ctx context.Context, job string) error {
	return c.call(ctx, http.MethodPost, "/kept-results/"+url.PathEscape(job)+"/discard", nil)
}

// maxAnswer is the most that is read of an answer of the control plane, in bytes.
const maxAnswer = 1 << 20

// call sends one request of an operation that the AWS SDK does not have, and decodes the answer into out, unless
// out is nil. The request is signed as the SDK signs its own. It is sent once, without retries, and has
// requestTimeout. An error that the server answered is a *smithy.GenericAPIError.
func (c *clients) call(ctx context.Context, method, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	o := c.bedrock.Options()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(aws.ToString(o.BaseEndpoint), "/")+path, nil)
	if err != nil {
		return err
	}
	if err := c.sign(ctx, r); err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	answer, err := o.HTTPClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return refusal(answer, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// sign signs a request without a body: with the bearer key of the environment if there is one, otherwise with the
// access key (Signature Version 4, service bedrock). It refuses to send a bearer key where others can read it.
func (c *clients) sign(ctx context.Context, r *http.Request) error {
	o := c.bedrock.Options()
	if o.BearerAuthTokenProvider != nil {
		if t, err := o.BearerAuthTokenProvider.RetrieveBearerToken(ctx); err == nil && t.Value != "" {
			if err := mayCarryBearer(r.URL); err != nil {
				return err
			}
			r.Header.Set("Authorization", "Bearer "+t.Value)
			return nil
		}
	}
	keys, err := o.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	// The signature covers the hash of the body, which is empty.
	none := sha256.Sum256(nil)
	return v4.NewSigner().SignHTTP(ctx, keys, r, hex.EncodeToString(none[:]), "bedrock", o.Region, time.Now())
}

// refusal returns the error of an answer in the form that the SDK uses for its own operations. If the answer is
// not JSON, the message is its first 200 bytes.
func refusal(answer *http.Response, body []byte) error {
	var said struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		said.Message = string(bytes.TrimSpace(body[:min(len(body), 200)]))
	}
	code, _, _ := strings.Cut(answer.Header.Get("x-amzn-ErrorType"), ":")
	if code == "" {
		code = answer.Status
	}
	return &smithy.GenericAPIError{Code: code, Message: said.Message}
}
