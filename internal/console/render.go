package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/words"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// assets names the static files with a part of their hash, so that browsers may keep them for good.
var assets = func() map[string]string {
	all := map[string]string{}
	_ = fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := staticFiles.ReadFile(name)
		sum := sha256.Sum256(text)
		all[strings.TrimPrefix(name, "static/")] = Path + name + "?" + hex.EncodeToString(sum[:6])
		return err
	})
	return all
}()

// static answers the embedded files. Their addresses contain their hash.
func static() http.Handler {
	files := http.StripPrefix(Path, http.FileServerFS(staticFiles))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, known := assets[strings.TrimPrefix(r.URL.Path, Path+"static/")]; !known {
			http.NotFound(w, r) // no lists of folders
			return
		}
		if r.URL.RawQuery != "" {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		files.ServeHTTP(w, r)
	})
}

// frame is what every page has.
type frame struct {
	Title, Section string
	Who            string // who has signed in; "": nobody
	Account, Key   string
	CSRF           string
	S3             bool // there is an embedded S3
	Version        string
	Now            time.Time
	Page           any
}

// frame returns the frame of a page. v may be nil.
func (c *Console) frame(v *visit, title, section string, page any) frame {
	f := frame{Title: title, Section: section, S3: c.o.Buckets != nil, Version: c.o.Version, Now: c.o.Now(), Page: page}
	if v != nil && v.session != nil {
		f.Who, f.Account, f.Key, f.CSRF = v.who.Principal, v.who.Account, v.session.key, v.session.csrf()
	}
	return f
}

// show writes a page of the visit.
func (v *visit) show(page, title, section string, data any) error {
	v.c.write(v.w, http.StatusOK, page, v.c.frame(v, title, section, data))
	return nil
}

// write renders a page. It is complete in memory before its first byte is sent.
func (c *Console) write(w http.ResponseWriter, status int, page string, f frame) {
	var b bytes.Buffer
	if err := c.pages[page].ExecuteTemplate(&b, "frame.html", f); err != nil {
		c.o.Log.Error("console: a page cannot be written", "page", page, "error", err)
		http.Error(w, "the page cannot be shown; the server's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone needs no answer
}

// part renders a part of a page, for its stream.
func (v *visit) part(page, name string, data any) (string, error) {
	var b bytes.Buffer
	err := v.c.pages[page].ExecuteTemplate(&b, name, v.c.frame(v, "", "", data))
	return b.String(), err
}

// parse reads the templates: each page with the frame and the parts.
func (c *Console) parse() (map[string]*template.Template, error) {
	base, err := template.New("").Funcs(c.funcs()).ParseFS(templateFiles, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("read the templates of the console: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		if page == "frame" || page == "parts" {
			continue
		}
		t, err := template.Must(base.Clone()).ParseFS(templateFiles, name)
		if err != nil {
			return nil, fmt.Errorf("read the templates of the console: %w", err)
		}
		pages[page] = t
	}
	return pages, nil
}

// funcs are the functions of templates.
func (c *Console) funcs() template.FuncMap {
	return template.FuncMap{
		"asset":  func(name string) string { return assets[name] },
		"number": func(n any) string { return words.Number(toInt(n)) },
		"plural": func(n any, noun string) string { return words.Plural(toInt(n), noun) },
		"bytes":  func(n any) string { return humanize.IBytes(uint64(max(0, toInt(n)))) },
		"short":  shortNumber,
		"at":     c.at,
		"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"id":     idOf,
		"model":  modelOf,
		"tone":   tone,
		"done":   done,
		"ended":  terminal,
		"join":   strings.Join,
		"lower":  func(v any) string { return strings.ToLower(fmt.Sprint(v)) },
		"add":    func(a, b int64) int64 { return a + b },
		"percent": func(part, whole int64) string {
			if whole <= 0 {
				return ""
			}
			return fmt.Sprintf("%d %%", part*100/whole)
		},
		"took":    took,
		"silence": func() float64 { return silence.Seconds() },
	}
}

// modelOf returns the id of a model in an ARN of a model or an inference profile; another text is unchanged.
func modelOf(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return name
}

// toInt returns a number of a template.
func toInt(n any) int64 {
	switch n := n.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	case uint64:
		return int64(n)
	}
	return 0
}

// shortNumber returns a number with three digits: 812, 12.3k, 4.56M.
func shortNumber(n int64) string {
	v, unit := float64(n), ""
	for _, u := range []string{"k", "M", "G", "T"} {
		if v < 999.5 {
			break
		}
		v, unit = v/1000, u
	}
	switch {
	case unit == "":
		return fmt.Sprint(n)
	case v < 9.995:
		return fmt.Sprintf("%.2f%s", v, unit)
	case v < 99.95:
		return fmt.Sprintf("%.1f%s", v, unit)
	}
	return fmt.Sprintf("%.0f%s", v, unit)
}

// moment is a time with what a page says of it.
type moment struct {
	Text  string // relative
	Exact string
	ISO   string
}

// at returns a time as people say it, with the exact one. It takes a time.Time or a Timestamp; nil for none.
func (c *Console) at(v any) *moment {
	var t time.Time
	switch v := v.(type) {
	case time.Time:
		t = v
	case bedrock.Timestamp:
		t = v.Time
	}
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &moment{relative(t.Sub(c.o.Now())), t.Format("2006-01-02 15:04:05 UTC"), t.Format(time.RFC3339)}
}

// relative returns a time relative to now: "3 min ago", "in 2 h".
func relative(d time.Duration) string {
	if d.Abs() < 5*time.Second {
		return "now"
	}
	text := span(d.Abs())
	if d < 0 {
		return text + " ago"
	}
	return "in " + text
}

// span returns a duration in its largest unit, and up to ten hours in two.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "less than 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 10*time.Hour && int(d.Minutes())%60 > 0:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// took returns the time between two moments.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return ""
	}
	return span(to.Sub(from))
}

// tone is the colour of a status or state.
func tone(status any) string {
	switch fmt.Sprint(status) {
	case string(batholith.StatusCompleted), string(batholith.BackendReady):
		return "good"
	case string(batholith.StatusFailed), string(batholith.StatusExpired), string(batholith.BackendUnreachable):
		return "bad"
	case string(batholith.StatusInProgress), string(batholith.StatusValidating):
		return "busy"
	case string(batholith.StatusPartiallyCompleted), string(batholith.StatusStopping), string(batholith.StatusStopped), string(batholith.BackendPaused),
		string(batholith.BackendDraining), string(batholith.BackendDrained):
		return "warn"
	}
	return "calm"
}

// done returns how many of a thousand records of a job have an outcome.
func done(j bedrock.JobSummary) int64 {
	if j.TotalRecordCount <= 0 {
		return 0
	}
	return j.ProcessedRecordCount * 1000 / j.TotalRecordCount
}
