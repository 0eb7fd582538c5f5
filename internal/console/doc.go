// Package console answers the web pages below /console/.
//
// The one invariant: the console has no rights of its own. A page acts as the person who signed in. Each page verifies that
// person's key again, calls the handler of the Bedrock API with it, and reads buckets as the same caller. An external S3 is read with the role of
// a job, as far as the policies permit it to the caller (see [Far]). So policies, quotas, the audit log and the checks of requests are those of the
// API, and a key that is removed or changed ends its sessions.
//
//	browser ── cookie ──▶ session ── Authorization: Bearer ──▶ handler of the API
//	                         └────── identity of the key ────▶ embedded S3
//	                                                     or ─▶ external S3, with the role of the job, if the policies permit it to the caller
//
// What the API does not answer (the history of a job, samples of its progress) is shown only after the API has answered a Get of that job.
//
// Pages are complete without JavaScript. With it, a page follows a stream of server-sent events, whose number and time are bounded.
//
// The package must not know SQL, how policies decide, or how jobs run.
package console
