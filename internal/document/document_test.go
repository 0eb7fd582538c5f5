package document

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/confine"
)

// TestMain lets the test's own program be the process that reads a document.
func TestMain(m *testing.M) {
	if code, ok := Serve(os.Args[1:], os.Stdin, os.Stdout); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// file is a PDF with these objects, from 1; the first is its catalogue.
func file(trailer string, objects ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	at := make([]int, len(objects))
	for i, o := range objects {
		at[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, n := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", n)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d /Root 1 0 R %s>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, trailer, xref)
	return b.Bytes()
}

// stream is a stream object.
func stream(more string, data []byte) string {
	return fmt.Sprintf("<</Length %d %s>>\nstream\n%s\nendstream", len(data), more, data)
}

// deflated is a compressed stream.
func deflated(data []byte) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(data)
	w.Close()
	return stream("/Filter /FlateDecode", b.Bytes())
}

// helvetica is a font without widths and without a table.
const helvetica = "<</Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding>>"

// pdfOf is a PDF with one page for each content, and fonts F1 = Helvetica and F2 as given.
func pdfOf(f2 string, contents ...string) []byte {
	objects := []string{"<</Type /Catalog /Pages 2 0 R>>", "", helvetica, f2}
	var kids strings.Builder
	for _, content := range contents {
		fmt.Fprintf(&kids, "%d 0 R ", len(objects)+1)
		objects = append(objects, fmt.Sprintf("<</Type /Page /Parent 2 0 R /Resources <</Font <</F1 3 0 R /F2 4 0 R>>>> /Contents %d 0 R>>", len(objects)+2), content)
	}
	objects[1] = fmt.Sprintf("<</Type /Pages /Kids [%s] /Count %d>>", kids.String(), len(contents))
	return file("", objects...)
}

// drawn is a content that is drawn with F1.
func drawn(operators string) string {
	return stream("", []byte("BT /F1 10 Tf "+operators+" ET"))
}

func TestPagesAreReadInOrderWithTheirWordsAndLines(t *testing.T) {
	cmap := stream("", []byte(`/CIDInit /ProcSet findresource begin 12 dict begin begincmap
1 begincodespacerange <0000> <FFFF> endcodespacerange
1 beginbfchar <0001> <0048> endbfchar
2 beginbfrange <0002> <0003> <0069> <0004> <0005> [<65E5> <672C>] endbfrange
endcmap end end`))
	composite := "<</Type /Font /Subtype /Type0 /Encoding /Identity-H /ToUnicode 5 0 R /DescendantFonts [<</DW 1000 /W [1 [700 300]]>>]>>"
	for _, tt := range []struct {
		name string
		data []byte
		want []string
	}{
		{"two pages", pdfOf(helvetica, drawn("(First) Tj"), drawn("(Second) Tj")), []string{"First", "Second"}},
		{"lines and words by position", pdfOf(helvetica, drawn("0 100 Td (One) Tj 40 0 Td (word) Tj -40 -12 Td (next) Tj T* (x) ' ")), []string{"One word\nnext x"}},
		{"kerning is no space, a gap is", pdfOf(helvetica, drawn("[(W) 80 (ord) -300 (two)] TJ")), []string{"Word two"}},
		{"leading", pdfOf(helvetica, drawn("12 TL (a) Tj T* (b) Tj (c) '")), []string{"a\nb\nc"}},
		{"escapes and hex", pdfOf(helvetica, drawn(`(\(a\) \101\tb) Tj <20 4 33> Tj`)), []string{"(a) A\tb C0"}},
		{"compressed", pdfOf(helvetica, deflated([]byte("BT /F1 1 Tf (deflated) Tj ET"))), []string{"deflated"}},
		{"an image in the content", pdfOf(helvetica, stream("", []byte("BI /W 1 /H 1 ID ((\x00\xff EI BT /F1 1 Tf (after) Tj ET"))), []string{"after"}},
		{"rotated", pdfOf(helvetica, drawn("0 1 -1 0 50 50 Tm (up) Tj 0 1 -1 0 50 90 Tm (wards) Tj")), []string{"up wards"}},
		{"an empty page among others", pdfOf(helvetica, drawn("(a) Tj"), drawn("")), []string{"a", ""}},
		{"a ligature", pdfOf("<</Type /Font /Subtype /Type1 /BaseFont /X /Encoding <</Differences [1 /fi]>>>>", stream("", []byte("BT /F2 1 Tf <01> Tj ET"))), []string{"fi"}},
		{"codes of two bytes", file("", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R] /Count 1>>",
			"<</Type /Page /Parent 2 0 R /Resources <</Font <</F1 4 0 R>>>> /Contents 6 0 R>>", composite, cmap, drawn("<00010002000300040005> Tj")), []string{"Hij日本"}},
		{"a form", file("", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R] /Count 1>>",
			"<</Type /Page /Parent 2 0 R /Resources <</XObject <</X 4 0 R>>>> /Contents 6 0 R>>",
			stream("/Subtype /Form /Resources <</Font <</F1 5 0 R>>>>", []byte("BT /F1 1 Tf (inside) Tj ET")), helvetica, stream("", []byte("q /X Do Q"))), []string{"inside"}},
		{"something before the file", append([]byte("junk\n"), pdfOf(helvetica, drawn("(x) Tj"))...), []string{"x"}},
	} {
		got, err := Pages(PDF, tt.data, DefaultLimits)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", tt.name, err, diff)
		}
	}
}

func TestADocumentIsReadWholeOrRefusedWithTheReason(t *testing.T) {
	loop := func(operators string) []byte {
		return file("", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R] /Count 1>>",
			"<</Type /Page /Parent 2 0 R /Resources <</XObject <</X 4 0 R>>>> /Contents 5 0 R>>",
			stream("/Subtype /Form /Resources <</XObject <</X 4 0 R>>>>", []byte(operators)), stream("", []byte("/X Do")))
	}
	small := Limits{Pages: 3, Content: 1 << 20, Text: 1000, Forms: 50}
	good := pdfOf(helvetica, drawn("(x) Tj"))
	for _, tt := range []struct {
		name, format string
		data         []byte
		want         string
	}{
		{"no PDF", PDF, []byte("Hello"), "is no valid pdf file"},
		{"empty", PDF, nil, "is no valid pdf file"},
		{"cut off", PDF, good[:len(good)/2], "is no valid pdf file"},
		{"encrypted", PDF, file("/Encrypt 3 0 R /ID [<00> <00>]", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [] /Count 0>>",
			"<</Filter /Standard /V 1 /R 2 /P -4 /O <"+strings.Repeat("41", 32)+"> /U <"+strings.Repeat("42", 32)+">>>"), "is encrypted"},
		{"encrypted in a new way", PDF, file("/Encrypt 3 0 R /ID [<00> <00>]", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [] /Count 0>>",
			"<</Filter /Standard /V 9 /R 9 /P -4>>"), "is encrypted"},
		{"scanned", PDF, pdfOf(helvetica, stream("", []byte("q /Im0 Do Q"))), "text recognition"},
		{"no table of characters", PDF, pdfOf("<</Type /Font /Subtype /Type0 /Encoding /Identity-H>>", stream("", []byte("BT /F2 1 Tf <00010002> Tj ET"))), "ToUnicode"},
		{"no pages", PDF, pdfOf(helvetica), "it has no pages"},
		{"too many pages", PDF, pdfOf(helvetica, drawn(""), drawn(""), drawn(""), drawn("(x) Tj")), "has more than 3 pages"},
		{"a bomb", PDF, pdfOf(helvetica, deflated(make([]byte, 2<<20))), "decompresses to more than 1 MB"},
		{"much text", PDF, pdfOf(helvetica, drawn("("+strings.Repeat("x", 2000)+") Tj")), "of text; split it"},
		{"forms that contain themselves", PDF, loop("/X Do"), "has no text"},
		{"forms that contain themselves twice", PDF, loop("/X Do /X Do"), "draws more than 50 forms"},
		{"pages that contain themselves", PDF, file("", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [2 0 R] /Count 1>>"), "its tree of pages does not end"},
		{"pages that contain themselves twice", PDF, file("", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [2 0 R 2 0 R] /Count 1>>"), "its tree of pages does not end"},
		{"no archive", Word, []byte("Hello"), "is no valid docx file"},
		{"another archive", Word, wordFile(t, "x.xml", "<x/>"), "word/document.xml"},
		{"broken XML", Word, wordFile(t, "word/document.xml", "<w:document><w:t>a"), "is no valid docx file"},
		{"no words", Word, wordFile(t, "word/document.xml", "<d/>"), "has no text"},
		{"much text in Word", Word, wordFile(t, "word/document.xml", "<d><t>"+strings.Repeat("x", 2000)+"</t></d>"), "of text; split it"},
		{"another format", "xls", nil, "has the format 'xls'"},
	} {
		got, err := Pages(tt.format, tt.data, small)
		if u, ok := errors.AsType[*Unreadable](err); !ok || !strings.Contains(u.Error(), tt.want) || got != nil && len(got) > 3 {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// wordFile is an archive with one member.
func wordFile(t testing.TB, name, content string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(content))
	z.Close()
	return b.Bytes()
}

func TestAWordDocumentIsItsParagraphs(t *testing.T) {
	got, err := Pages(Word, wordFile(t, "word/document.xml", `<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>One </w:t></w:r><w:r><w:t>line</w:t><w:tab/><w:t>x</w:t></w:r></w:p>
	<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:t>A &amp; B</w:t></w:r></w:p></w:body></w:document>`), DefaultLimits)
	if diff := cmp.Diff([]string{"One line\tx\nA & B"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// TestAHostileDocumentEndsOnlyItsOwnProcess reads documents that no parser in this process survives.
func TestAHostileDocumentEndsOnlyItsOwnProcess(t *testing.T) {
	r, err := NewReader()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Pages(PDF, pdfOf(helvetica, drawn("(x) Tj"))); err != nil || len(got) != 1 || got[0] != "x" {
		t.Fatalf("a good document: %q, %v", got, err)
	}
	tight := *r
	tight.heap = 1
	for _, tt := range []struct {
		name string
		r    *Reader
		data []byte
		want string
	}{
		{"nested", r, file("", "<</Type /Catalog /Pages 2 0 R /X "+strings.Repeat("[", 2<<20)+">>"), "nesting"},
		{"broken", r, []byte("x"), "is no valid pdf file"},
		{"large", &tight, []byte("x"), "of memory"},
	} {
		_, err := tt.r.Pages(PDF, tt.data)
		if u, ok := errors.AsType[*Unreadable](err); !ok || !strings.Contains(u.Why, tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestTheDeathOfAReaderTellsWhy(t *testing.T) {
	for cause, want := range map[confine.Cause]string{confine.Time: "takes more than 30 s", confine.Memory: "more than 512 MB of memory", confine.Stack: "nested",
		confine.Broken: "cannot be read (exit status 1)"} {
		if got := death(cause, errors.New("exit status 1")); !strings.Contains(got.Error(), want) {
			t.Errorf("%d: %v, want %q", cause, got, want)
		}
	}
}

// FuzzContent holds that any content of a page is read or refused, in the calling process.
func FuzzContent(f *testing.F) {
	f.Add([]byte("BT /F1 10 Tf [(a) -300 <62>] TJ T* (c) ' 1 2 (d) \" ET q Q /X Do BI ID EI"))
	f.Fuzz(func(t *testing.T, content []byte) {
		pages, err := Pages(PDF, pdfOf(helvetica, stream("", content)), Limits{Pages: 2, Content: 1 << 20, Text: 1 << 16, Forms: 1000})
		if _, ok := errors.AsType[*Unreadable](err); err != nil && !ok || err == nil && len(pages) != 1 {
			t.Errorf("%q, %v", pages, err)
		}
	})
}

// FuzzFile holds that any file is read or refused without a panic. Loops and memory are bounded by the process of [Reader], and here by the size of the file.
func FuzzFile(f *testing.F) {
	f.Add(PDF, pdfOf(helvetica, drawn("(x) Tj"), deflated([]byte("BT /F1 1 Tf [(y) -300 (z)] TJ ET"))))
	f.Add(PDF, file("/Encrypt 3 0 R", "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [2 0 R] /Count 1>>", "<<>>"))
	f.Add(Word, wordFile(f, "word/document.xml", "<d><t>x</t></d>"))
	f.Fuzz(func(t *testing.T, format string, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		pages, err := Pages(format, data, Limits{Pages: 20, Content: 1 << 20, Text: 1 << 16, Forms: 1000})
		if _, ok := errors.AsType[*Unreadable](err); err != nil && !ok || err == nil && len(pages) == 0 {
			t.Errorf("%q, %v", pages, err)
		}
	})
}
