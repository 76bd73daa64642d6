/* A client that fetches pictures and decodes them with libpng 1.2.5, for `attacks.py`. It talks as the small victims do. */
#include "hostile.h"
#include <png.h>

struct input {
    const uint8_t *data;
    size_t left;
};

static void take(png_structp png, png_bytep into, png_size_t bytes)
{
    struct input *from = (struct input *)png_get_io_ptr(png);
    if (bytes > from->left)
        png_error(png, "the picture is cut off");
    memcpy(into, from->data, bytes);
    from->data += bytes;
    from->left -= bytes;
}

static void be_silent(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes)
{
    struct input from = {data, bytes};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, 0, 0, be_silent);
    png_infop info = png_create_info_struct(png);
    if (!setjmp(png_jmpbuf(png))) {
        png_set_read_fn(png, &from, take);
        png_read_info(png, info);
        png_set_expand(png);
        png_read_update_info(png, info);
        png_uint_32 rows = png_get_image_height(png, info), row_bytes = png_get_rowbytes(png, info);
        uint8_t *row = malloc(row_bytes);
        for (png_uint_32 i = 0; i < rows; i++)
            png_read_row(png, row, 0);
        free(row);
        png_read_end(png, info);
    }
    png_destroy_read_struct(&png, &info, 0);
}
