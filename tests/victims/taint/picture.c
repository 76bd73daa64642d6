/* A reader of pictures in rows, as a client is that fetches them from a server: a row is as long as its own header says, and
 * the decoder's error function lies behind the row on the heap. A message: width (4), then rows of: bytes (2), pixels. */
#include "hostile.h"

struct decoder {
    uint8_t row[256];
    void (*on_error)(struct decoder *, const char *);
    uint32_t width, sum;
};

static void ignore(struct decoder *one, const char *why) { one->sum += (uint32_t)why[0]; }

static void prepare(void) {}

/* Undo a filter as PNG has it: each pixel is the difference to the one before. */
static NOINLINE void decode_row(struct decoder *one, const uint8_t *pixels, size_t bytes)
{
    memcpy(one->row, pixels, bytes);
    for (size_t i = 1; i < bytes && i < one->width; i++)
        one->row[i] = (uint8_t)(one->row[i] + one->row[i - 1]);
}

static void handle(uint8_t *data, size_t bytes)
{
    struct decoder *one = (struct decoder *)calloc(1, sizeof *one);
    one->on_error = ignore;
    if (bytes >= 4)
        memcpy(&one->width, data, 4);
    one->width = one->width > 256 ? 256 : one->width;
    for (size_t at = 4; at + 2 <= bytes;) {
        uint16_t pixels;
        memcpy(&pixels, data + at, 2);
        at += 2;
        if (pixels > bytes - at) {
            one->on_error(one, "row is cut off");
            break;
        }
        decode_row(one, data + at, pixels);
        at += pixels;
    }
    free(one);
}
