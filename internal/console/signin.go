package console

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/batholith/batholith/internal/sigv4"
	"github.com/batholith/batholith/internal/words"
)

// signInForm is the page of the sign-in.
type signInForm struct {
	Next, KeyID, Problem, Way string
	Over                      bool // the session has ended
}

// signInPage shows the form. Who has a session is led on.
func (c *Console) signInPage(w http.ResponseWriter, r *http.Request) {
	next := within(r.URL.Query().Get("next"))
	if s := c.sessions.find(tokenOf(r), false); s != nil {
		if _, err := c.identify(r, s.proof); err == nil {
			http.Redirect(w, r, next, http.StatusSeeOther)
			return
		}
	}
	c.write(w, http.StatusOK, "sign-in", c.frame(nil, "Sign in", "", signInForm{Next: next, Over: tokenOf(r) != "", Way: r.URL.Query().Get("with")}))
}

// within returns the path to go on with after a sign-in: one of the console, whatever the address of the page says.
func within(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(path.Clean(u.Path)+"/", Path) || strings.Contains(u.Path, "//") || strings.HasPrefix(next, "//") || strings.Contains(next, "\\") {
		return Path
	}
	return next
}

// signInBytes is the longest form of a sign-in: tokens of an issuer have some KiB.
const signInBytes = 32 << 10

// signIn begins a session if the key is right. The secret of a permanent access key is used once, to derive the bearer form of the key, and is
// not kept. Temporary keys are kept in memory, and the session ends when they do, as with a token of an issuer.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, signInBytes)
	if err := r.ParseForm(); err != nil {
		c.fail(w, r, nil, &fault{http.StatusBadRequest, "The form cannot be read", "Fill it in again."})
		return
	}
	form := signInForm{Next: within(r.PostForm.Get("next")), KeyID: strings.TrimSpace(r.PostForm.Get("key-id"))}
	secret, bearer := strings.TrimSpace(r.PostForm.Get("secret")), strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(r.PostForm.Get("bearer")), "Bearer "))
	token := strings.TrimSpace(r.PostForm.Get("session-token"))
	if bearer != "" {
		form.KeyID, form.Way = "", "bearer"
	}
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	refuse := func(status int, problem string) {
		form.Problem = problem
		c.write(w, status, "sign-in", c.frame(nil, "Sign in", "", form))
	}
	switch wait := c.failures.wait(address); {
	case wait > 0:
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
		refuse(http.StatusTooManyRequests, "There were too many failed sign-ins. Try again in "+words.Span(wait.Round(time.Second)+time.Second)+".")
		return
	case bearer == "" && (form.KeyID == "" || secret == ""):
		refuse(http.StatusBadRequest, "Type an access key id and its secret, or a bearer key.")
		return
	case bearer == "" && token == "" && strings.HasPrefix(form.KeyID, temporaryID):
		refuse(http.StatusBadRequest, "This is the id of a temporary key: type its session token too.")
		return
	}
	p := proof{bearer: bearer}
	switch {
	case bearer != "":
	case token != "":
		p.keys = aws.Credentials{AccessKeyID: form.KeyID, SecretAccessKey: secret, SessionToken: token}
	default:
		p.bearer = sigv4.BearerOf(form.KeyID, secret)
	}
	if _, err := c.identify(r, p); err != nil {
		if f := unverifiable(err); f != nil { // no guess
			refuse(f.Status, f.Text)
			return
		}
		c.failures.add(address)
		problem := "This bearer key is not valid: it is unknown, was removed, or has expired."
		if form.KeyID != "" {
			problem = "The access key id or its secret is wrong, or the key was removed."
		}
		refuse(http.StatusForbidden, cmp.Or(wrongKey(p, err), problem))
		return
	}
	if old := c.sessions.find(tokenOf(r), true); old != nil {
		c.sessions.end(old)
	}
	c.setCookie(w, r, c.sessions.begin(p, form.KeyID))
	http.Redirect(w, r, form.Next, http.StatusSeeOther)
}

// signOut ends the session.
func (c *Console) signOut(v *visit) error {
	c.sessions.end(v.session)
	c.spool.tidy(c.sessions.lives)
	c.setCookie(v.w, v.r, "")
	http.Redirect(v.w, v.r, Path+"sign-in", http.StatusSeeOther)
	return nil
}

// sessionState answers 204 if the browser has a session, else 401: a page whose stream has ended asks why.
func (c *Console) sessionState(w http.ResponseWriter, r *http.Request) {
	s := c.sessions.find(tokenOf(r), true)
	if s != nil {
		if _, err := c.identify(r, s.proof); err == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	w.WriteHeader(http.StatusUnauthorized)
}
