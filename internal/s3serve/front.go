package s3serve

import (
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/utils"
)

// Middlewares that every request passes before the gateway, in this order: oneID, answers,
// locate (address.go), encryption (encrypt.go), knownClass, presigned (presign.go), bodies (body.go),
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
