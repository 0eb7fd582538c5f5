package s3serve

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// Middlewares that every request passes before the gateway, in this order: oneID, answers,
// locate (address.go), noEncryption, knownClass, presigned (presign.go), bodies (body.go),
// chunked (chunked.go), forms (forms.go).

// oneID prevents duplicate request ids in the answer. The gateway sets them twice, the second
// time with lower-case names that are not normalised. If normalising is disabled earlier, it
// finds the first ones.
func oneID(ctx fiber.Ctx) error {
	header := &ctx.Response().Header
	header.Del(utils.HeaderAmzRequestID)
	header.Del(utils.HeaderAmzID2)
	header.DisableNormalizing()
	utils.EnsureRequestIDs(ctx)
	return ctx.Next()
}

// noEncryption rejects requests for encryption: a client must not believe that its object is
// encrypted.
func noEncryption(ctx fiber.Ctx) error {
	for name := range ctx.Request().Header.All() {
		if asksEncryption(string(name)) {
			return answer(ctx, errEncryption(string(name)))
		}
	}
	for name := range ctx.Request().URI().QueryArgs().All() {
		if asksEncryption(string(name)) {
			return answer(ctx, errEncryption(string(name)))
		}
	}
	return ctx.Next()
}

// storageClasses are S3's storage classes. All objects are stored in the same way and listed as
// STANDARD.
var storageClasses = types.StorageClass("").Values()

// knownClass rejects a storage class that S3 does not have.
func knownClass(ctx fiber.Ctx) error {
	class := types.StorageClass(ctx.Get("X-Amz-Storage-Class"))
	if class != "" && !slices.Contains(storageClasses, class) {
		return answer(ctx, refusal(http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid"))
	}
	return ctx.Next()
}

// formEncryption is noEncryption for the fields of an upload by form.
func formEncryption(ctx context.Context) error {
	form, _ := ctx.Value(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult)
	for name := range form.Fields {
		if asksEncryption(name) {
			return errEncryption(name)
		}
	}
	return nil
}

// asksEncryption reports whether a header or parameter requests server-side encryption (S3:
// SSE-S3, SSE-KMS, DSSE-KMS and SSE-C), also of a copy's source.
func asksEncryption(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "x-amz-server-side-encryption") || strings.HasPrefix(name, "x-amz-copy-source-server-side-encryption")
}

func errEncryption(name string) error {
	return s3err.NotImplementedError{Header: name, APIError: s3err.APIError{Code: "NotImplemented", HTTPStatusCode: http.StatusNotImplemented,
		Description: "The embedded S3 does not encrypt, so " + strings.ToLower(name) +
			" is refused: leave it out and use an encrypted disk, or use an external S3."}}
}
