package console

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// submitForm is the page of a new job.
type submitForm struct {
	Models []bedrock.FoundationModel
	Denied string // why the models are not listed: an id can be typed
	Model  string
}

// submitPage shows the form for a file.
func (c *Console) submitPage(v *visit) error {
	form := submitForm{Model: v.r.URL.Query().Get("model")}
	var models bedrock.ListFoundationModelsOutput
	switch err := v.call(http.MethodGet, "/foundation-models", nil, &models); {
	case denied(err):
		form.Denied = message(err)
	case err != nil:
		return err
	}
	form.Models = models.ModelSummaries
	return v.show("submit", "New job", "submit", form)
}

// submitUpload takes a file and validates it. Nothing is sent to a model or stored in a bucket.
func (c *Console) submitUpload(v *visit) error {
	if !v.multipart() {
		return badRequest("Choose a file of records.")
	}
	got, err := v.receive()
	if err != nil {
		return err
	}
	d := &draft{received: got, session: v.session.id, model: strings.TrimSpace(got.fields["model"])}
	if err := c.examine(v, d); err != nil {
		d.remove()
		return err
	}
	c.spool.keep(d)
	http.Redirect(v.w, v.r, Path+"submit/"+d.id, http.StatusSeeOther)
	return nil
}

// examine validates the file of a draft.
func (c *Console) examine(v *visit, d *draft) (err error) {
	typ := batholith.InvocationType(d.fields["type"])
	table := c.o.Table(d.name)
	switch {
	case !table && !strings.HasSuffix(d.name, ".jsonl"):
		return badRequest("%q is neither a file of records, which ends in .jsonl, nor a table, which ends in .csv, .tsv, .json or .parquet.", d.name)
	case table && strings.TrimSpace(d.fields["template"]) == "":
		return badRequest("%q is a table: write a prompt with the names of its columns, such as: Translate to English: {{.text}}", d.name)
	case d.model == "":
		return badRequest("Choose a model.")
	case typ != "" && typ != batholith.InvokeModel && typ != batholith.Converse:
		return badRequest("The type must be InvokeModel or Converse.")
	}
	// Who may not see a model gets nothing of it validated: its price and limits are its own.
	if err := v.call(http.MethodGet, "/foundation-models/"+pathEscape(d.model), nil, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), validateTime)
	defer cancel()
	if err := c.heavy.Acquire(ctx, 1); err != nil {
		return &fault{http.StatusServiceUnavailable, "The server is busy", "Too many files are being read. Try again."}
	}
	defer c.heavy.Release(1)
	if table {
		if err := c.compose(ctx, d, typ); err != nil {
			return err
		}
	}
	if d.found, err = c.o.Validate(ctx, d.path, d.name, d.model, typ); err != nil {
		return badRequest("The file cannot be validated: %v", err)
	}
	return nil
}

// compose replaces the table of a draft by its records.
func (c *Console) compose(ctx context.Context, d *draft, typ batholith.InvocationType) error {
	recipe, err := recipeOf(d.fields)
	if err != nil {
		return err
	}
	out, err := c.spool.create()
	if err != nil {
		return err
	}
	err = c.o.Records(ctx, d.path, d.name, recipe, d.model, typ, out)
	if err = errors.Join(err, out.close()); err != nil {
		out.remove()
		var f *fault
		if errors.As(err, &f) {
			return f
		}
		return badRequest("The table cannot be made into records: %v", err)
	}
	out.name, out.fields, d.table = d.name[:strings.LastIndexByte(d.name, '.')]+".jsonl", d.fields, d.name
	d.remove()
	d.received = out
	return nil
}

// recipeOf reads the fields of a form that belong to a table.
func recipeOf(fields map[string]string) (Recipe, error) {
	field := func(name string) string { return strings.TrimSpace(fields[name]) }
	r := Recipe{Template: fields["template"], System: field("system"), ID: field("id")}
	if text := field("max-tokens"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return r, badRequest("The limit of output tokens is %q: write a whole number, or 0 to leave it to the model.", text)
		}
		r.MaxTokens = &n
	}
	if text := field("temperature"); text != "" {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0 && n <= 100) {
			return r, badRequest("The temperature is %q: write a number such as 0.2, or leave it empty for the model's own.", text)
		}
		r.Temperature = &n
	}
	return r, nil
}

// validateTime bounds a validation: 2 GiB at more than 10 MB/s.
const validateTime = 3 * time.Minute

// draftView is the page of a draft.
type draftView struct {
	Validation
	ID, File, Name, OutputURI, InputURI string
	Table                               string // file that the records were made of
	Expires                             time.Time
	Far                                 bool     // the S3 is an external one: the role must be chosen
	Role                                string   // that is offered
	Roles                               []string // that may be
}

// bucketFor returns the bucket that is offered to a visitor: that of the settings, if it is one of the visitor's, else the visitor's first.
func (c *Console) bucketFor(v *visit) string {
	client, done, err := v.s3()
	if err != nil {
		return c.o.Bucket
	}
	defer done()
	ctx, cancel := context.WithTimeout(v.r.Context(), objectTime)
	defer cancel()
	out, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil || len(out.Buckets) == 0 || slices.ContainsFunc(out.Buckets, func(b types.Bucket) bool { return aws.ToString(b.Name) == c.o.Bucket }) {
		return c.o.Bucket // who may not list buckets may still use one; the upload tells
	}
	return aws.ToString(out.Buckets[0].Name)
}

// draftView returns the page of a draft. For an external S3 it offers the bucket and the role of the visitor's latest job: nobody may list the
// buckets there.
func (c *Console) draftView(v *visit, d *draft) draftView {
	view := draftView{Validation: d.found, ID: d.id, File: d.name, Table: d.table, Name: newName(d.name, d.began), Expires: d.began.Add(draftTime)}
	bucket := ""
	if view.Far = c.o.Far != nil; view.Far {
		view.Roles = c.o.Far.Roles(v.r.Context(), v.who)
		var latest bedrock.ListModelInvocationJobsOutput
		if v.call(http.MethodGet, "/model-invocation-jobs?maxResults=1", nil, &latest) == nil && len(latest.InvocationJobSummaries) > 0 {
			j := latest.InvocationJobSummaries[0]
			at, _ := parseURI(outputOf(j))
			if bucket = at.Bucket; slices.Contains(view.Roles, j.RoleARN) {
				view.Role = j.RoleARN
			}
		}
		if view.Role == "" && len(view.Roles) > 0 {
			view.Role = view.Roles[0]
		}
	} else {
		bucket = c.bucketFor(v)
	}
	if bucket != "" {
		base := "s3://" + bucket + "/" + view.Name + "-" + strings.ToLower(d.id[:3])
		view.InputURI, view.OutputURI = base+"/input/"+d.name, base+"/output/"
	}
	return view
}

// draftPage shows the validation, and the form that creates the job.
func (c *Console) draftPage(v *visit) error {
	d := c.spool.find(v.r.PathValue("draft"), v.session)
	if d == nil {
		return notFound("This file is not here any more: a file waits for an hour, and as long as you are signed in. Choose it again.")
	}
	return v.show("draft", "New job", "submit", c.draftView(v, d))
}

// draftAct creates the job of a draft, or discards it. The server is asked whether it takes the job before the file is stored.
func (c *Console) draftAct(v *visit) error {
	d := c.spool.find(v.r.PathValue("draft"), v.session)
	if d == nil {
		return notFound("This file is not here any more: it was submitted or discarded. Look at the list of jobs.")
	}
	switch v.r.PathValue("verb") {
	case "discard":
		c.spool.drop(d)
		http.Redirect(v.w, v.r, Path+"submit", http.StatusSeeOther)
		return nil
	case "create":
	default:
		return notFound("A draft has no such button.")
	}
	form := v.r.PostForm
	input, ok := parseURI(strings.TrimSpace(form.Get("input")))
	if !ok || !strings.HasSuffix(input.Key, ".jsonl") {
		return badRequest("The input must be an s3:// URI that ends in .jsonl, such as s3://my-bucket/in/%s", d.name)
	}
	role := c.o.Role(v.who.Account)
	if c.o.Far != nil {
		role = strings.TrimSpace(form.Get("role"))
	}
	in := bedrock.CreateModelInvocationJobInput{JobName: strings.TrimSpace(form.Get("name")), ModelID: d.model, RoleARN: role, ModelInvocationType: d.found.Type,
		ClientRequestToken: d.id, // a second click creates no second job
		InputDataConfig:    &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{S3URI: "s3://" + input.Bucket + "/" + input.Key}},
		OutputDataConfig:   &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{S3URI: strings.TrimSpace(form.Get("output"))}}}
	if p := form.Get("priority"); slices.Contains([]string{"high", "low"}, p) {
		in.Tags = []bedrock.Tag{{Key: "batholith:priority", Value: p}}
	}
	if err := v.call(http.MethodPost, "/check-model-invocation-job", in, nil); err != nil {
		return err
	}
	if err := c.store(v, d.received, role, input); err != nil {
		return err
	}
	var out bedrock.CreateModelInvocationJobOutput
	if err := v.call(http.MethodPost, "/model-invocation-job", in, &out); err != nil {
		return err
	}
	c.spool.drop(d)
	http.Redirect(v.w, v.r, Path+"jobs/"+idOf(out.JobARN)+"?done=created", http.StatusSeeOther)
	return nil
}

// store stores the file of a new job at a key that holds nothing yet.
func (c *Console) store(v *visit, got *received, role string, at place) error {
	if c.o.Far != nil {
		return v.upload(got, func(ctx context.Context, f *os.File) error {
			err := c.o.Far.Put(ctx, v.who, v.r, role, at.Bucket, at.Key, f, got.bytes)
			if errors.Is(err, ErrExists) {
				return replaced(at)
			}
			return err
		})
	}
	client, done, err := v.s3()
	if err != nil {
		return err
	}
	defer done()
	if err := v.fresh(client, at); err != nil {
		return err
	}
	return v.put(client, got, at.Bucket, at.Key)
}

func replaced(at place) error {
	return &fault{http.StatusConflict, "There is an object with this key", "s3://" + at.Bucket + "/" + at.Key + " would be replaced. Choose another place for the input."}
}

// fresh refuses a key that holds an object, which would be replaced.
func (v *visit) fresh(client *s3.Client, at place) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), objectTime)
	defer cancel()
	_, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &at.Bucket, Key: &at.Key})
	switch {
	case err == nil:
		return replaced(at)
	case isNotFound(err):
		return nil
	}
	return err
}
