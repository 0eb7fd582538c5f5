package object

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestObjectsDoNotFollowARedirectToAnotherHost(t *testing.T) {
	var reached atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.RedirectHandler(other.URL, status))
		r, err := http.NewRequest(http.MethodPut, s.URL+"/bucket/key", strings.NewReader("prompt"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := NewHTTPClient(nil).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status || reached.Load() != 0 {
			t.Errorf("a redirect with %d was followed", status)
		}
		s.Close()
	}
}
