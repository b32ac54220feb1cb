// A stand-in for libcuda.so.1 and libnvcuvid.so.1, for tests without a GPU: device memory is host memory.
//
// Here: contexts, memory, errors, and the decoder. parser.c reads bitstreams. Every other symbol that FFmpeg asks for
// is a generated stub that returns NOT_SUPPORTED. Where a real driver refuses, this one does too: no cuInit, a forked
// child, a thread without a context, an unsupported codec or size, too many surfaces, two frames mapped for one.

#include "driver.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEVICES = 8, MAX_DEPTH = 64, MAX_SURFACES = 32, TEXTURE_ALIGNMENT = 512, PADDING = 0xEE };

atomic_long counters[NUM_COUNTERS];

void standin_counters(long out[NUM_COUNTERS]) {
    for (int i = 0; i < NUM_COUNTERS; i++) out[i] = counters[i];
}

// ---- Device and contexts. A context is an address; each thread has a stack of them, as in CUDA.

static atomic_int owner;  // the process that called cuInit: its forked children cannot use the driver
static char primary[MAX_DEVICES], primary_retained[MAX_DEVICES];
static unsigned primary_flags[MAX_DEVICES];
static _Thread_local void *stack[MAX_DEPTH];
static _Thread_local int depth;

static int num_devices(void) {
    const char *text = getenv("STANDIN_DEVICES");
    int number = text ? atoi(text) : 1;
    return number < MAX_DEVICES ? number : MAX_DEVICES;
}

static int initialized(void) { return owner == getpid() ? SUCCESS : NOT_INITIALIZED; }

static int device_exists(int device) {
    if (initialized() != SUCCESS) return NOT_INITIALIZED;
    return device >= 0 && device < num_devices() ? SUCCESS : INVALID_DEVICE;
}

static int context_current(void) {
    if (initialized() != SUCCESS) return NOT_INITIALIZED;
    return depth > 0 && stack[depth - 1] ? SUCCESS : INVALID_CONTEXT;
}

int cuInit(unsigned flags) {
    (void)flags;
    if (num_devices() < 1) return NO_DEVICE;
    int nobody = 0;
    atomic_compare_exchange_strong(&owner, &nobody, getpid());
    return initialized();
}

int cuDeviceGetCount(int *count) {
    *count = num_devices();
    return initialized();
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return device_exists(ordinal);
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 14 ? TEXTURE_ALIGNMENT : 0;
    return device_exists(device);
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    if (device_exists(device) != SUCCESS) return device_exists(device);
    *flags = primary_flags[device];
    *active = primary_retained[device] > 0;
    return SUCCESS;
}

int cuDevicePrimaryCtxSetFlags(int device, unsigned flags) {
    if (device_exists(device) != SUCCESS) return device_exists(device);
    primary_flags[device] = flags;
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    if (device_exists(device) != SUCCESS) return device_exists(device);
    primary_retained[device]++;
    *context = &primary[device];
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease(int device) {
    if (device_exists(device) != SUCCESS) return device_exists(device);
    if (primary_retained[device] < 1) return INVALID_CONTEXT;
    primary_retained[device]--;
    return SUCCESS;
}

int cuCtxPushCurrent_v2(void *context) {
    if (initialized() != SUCCESS) return NOT_INITIALIZED;
    if (!context || depth == MAX_DEPTH) return INVALID_CONTEXT;
    stack[depth++] = context;
    return SUCCESS;
}

int cuCtxPopCurrent_v2(void **context) {
    if (context_current() != SUCCESS) return context_current();
    depth--;
    if (context) *context = stack[depth];
    return SUCCESS;
}

int cuCtxGetCurrent(void **context) {
    *context = depth > 0 ? stack[depth - 1] : NULL;
    return initialized();
}

int cuCtxSetCurrent(void *context) {
    if (initialized() != SUCCESS) return NOT_INITIALIZED;
    if (depth == 0) depth = 1;
    stack[depth - 1] = context;
    return SUCCESS;
}

int cuCtxCreate_v2(void **context, unsigned flags, int device) {
    (void)flags;
    if (device_exists(device) != SUCCESS) return device_exists(device);
    *context = malloc(1);
    counters[LIVE_CONTEXTS]++;
    return cuCtxPushCurrent_v2(*context);
}

int cuCtxDestroy_v2(void *context) {
    if (initialized() != SUCCESS) return NOT_INITIALIZED;
    if (!context || ((char *)context >= primary && (char *)context < primary + MAX_DEVICES)) return INVALID_CONTEXT;
    if (depth > 0 && stack[depth - 1] == context) depth--;
    free(context);
    counters[LIVE_CONTEXTS]--;
    return SUCCESS;
}

// ---- Memory. Nothing is queued: a copy is done when the call returns.

typedef struct {                       // CUDA_MEMCPY2D
    size_t from_x, from_y;
    int from_type;                     // 1: host, 2: device
    const uint8_t *from_host, *from_device;
    void *from_array;
    size_t from_pitch, to_x, to_y;
    int to_type;
    uint8_t *to_host, *to_device;
    void *to_array;
    size_t to_pitch, row_bytes, num_rows;
} Copy;
_Static_assert(sizeof(Copy) == 128, "CUDA_MEMCPY2D");

int cuMemAlloc_v2(uint8_t **pointer, size_t size) {
    if (context_current() != SUCCESS) return context_current();
    if (size == 0) return INVALID_VALUE;
    size = (size + TEXTURE_ALIGNMENT - 1) / TEXTURE_ALIGNMENT * TEXTURE_ALIGNMENT;
    *pointer = aligned_alloc(TEXTURE_ALIGNMENT, size);
    if (!*pointer) return OUT_OF_MEMORY;
    memset(*pointer, PADDING, size);
    counters[LIVE_ALLOCATIONS]++;
    return SUCCESS;
}

int cuMemFree_v2(void *pointer) {
    if (context_current() != SUCCESS) return context_current();
    if (pointer) counters[LIVE_ALLOCATIONS]--;
    free(pointer);
    return SUCCESS;
}

int cuMemcpy2D_v2(const Copy *copy) {
    if (context_current() != SUCCESS) return context_current();
    if (copy->row_bytes > copy->from_pitch || copy->row_bytes > copy->to_pitch) return INVALID_VALUE;
    if (!copy->row_bytes) return SUCCESS;  // FFmpeg copies the third component of NV12 too: 0 bytes to nowhere
    const uint8_t *from = copy->from_type == 1 ? copy->from_host : copy->from_device;
    uint8_t *to = copy->to_type == 1 ? copy->to_host : copy->to_device;
    for (size_t row = 0; row < copy->num_rows; row++)
        memcpy(to + (copy->to_y + row) * copy->to_pitch + copy->to_x,
               from + (copy->from_y + row) * copy->from_pitch + copy->from_x, copy->row_bytes);
    return SUCCESS;
}

int cuMemcpy2DAsync_v2(const Copy *copy, void *stream) { (void)stream; return cuMemcpy2D_v2(copy); }

int cuStreamSynchronize(void *stream) { (void)stream; return context_current(); }

// ---- Errors, in NVIDIA's words.

static const struct { int status; const char *name, *text; } errors[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

static int describe(int status, const char **name, const char **text) {
    *name = *text = NULL;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].status == status) *name = errors[i].name, *text = errors[i].text;
    return *name ? SUCCESS : INVALID_VALUE;
}

int cuGetErrorName(int status, const char **name) { const char *text; return describe(status, name, &text); }
int cuGetErrorString(int status, const char **text) { const char *name; return describe(status, &name, text); }

// ---- Decoder. What each chip decodes is NVIDIA's, of the NVDEC application note 13.0, table 1; its smallest sizes are
// kept, since FFmpeg checks them.

enum { D8 = 1, D10 = 2, D12 = 4 };  // depths, a bit each
typedef struct { int of_420, of_422, of_444, max_size, min_width, min_height; } Ability;
typedef struct { const char *name; int num_engines; Ability codecs[NUM_CODECS]; } Chip;

#define OLD_CODECS \
    [MPEG1] = {D8, 0, 0, 4096, 48, 16}, [MPEG2] = {D8, 0, 0, 4096, 48, 16}, [MPEG4] = {D8, 0, 0, 2048, 48, 16}, \
    [VC1] = {D8, 0, 0, 2048, 48, 16}, [VP8] = {D8, 0, 0, 4096, 48, 16}, [VP9] = {D8 | D10 | D12, 0, 0, 8192, 128, 128}
#define HEVC_WITHOUT_422 [HEVC] = {D8 | D10 | D12, 0, D8 | D10 | D12, 8192, 144, 144}
#define AV1_MAIN [AV1] = {D8 | D10, 0, 0, 8192, 128, 128}

static const Chip chips[] = {
    {"hopper", 7, {OLD_CODECS, HEVC_WITHOUT_422, [H264] = {D8, 0, 0, 4096, 48, 16}}},         // as A100 and Turing
    {"ada", 3, {OLD_CODECS, HEVC_WITHOUT_422, AV1_MAIN, [H264] = {D8, 0, 0, 4096, 48, 16}}},  // as Ampere but A100
    {"blackwell", 1, {OLD_CODECS, AV1_MAIN, [H264] = {D8 | D10, D8 | D10, 0, 8192, 48, 16},
                      [HEVC] = {D8 | D10 | D12, D10 | D12, D8 | D10 | D12, 8192, 144, 144}}},
};
static const char *const codec_names[NUM_CODECS] = {
    [MPEG1] = "mpeg1", [MPEG2] = "mpeg2", [MPEG4] = "mpeg4", [VC1] = "vc1", [H264] = "h264",
    [HEVC] = "hevc", [VP8] = "vp8", [VP9] = "vp9", [AV1] = "av1",
};

static const Chip *chip(void) {
    const char *name = getenv("STANDIN_CHIP");
    for (size_t i = 0; name && i < sizeof chips / sizeof *chips; i++)
        if (strcmp(chips[i].name, name) == 0) return &chips[i];
    return chips;
}

static int switched_off(const char *name) {
    const char *list = getenv("STANDIN_UNSUPPORTED"), *found = list ? strstr(list, name) : NULL;
    return found != NULL;
}

static int supported(int codec, int chroma, unsigned depth_minus8) {
    if (codec < 0 || codec >= NUM_CODECS || !codec_names[codec] || switched_off(codec_names[codec])) return 0;
    const Ability *able = &chip()->codecs[codec];
    int depths = chroma == CHROMA_420 ? able->of_420 : chroma == CHROMA_422 ? able->of_422
               : chroma == CHROMA_444 ? able->of_444 : 0;
    return depth_minus8 <= 4 && depth_minus8 % 2 == 0 && (depths >> depth_minus8 / 2 & 1);
}

int cuvidGetDecoderCaps(Capabilities *caps) {
    if (context_current() != SUCCESS) return context_current();
    int yes = supported(caps->codec, caps->chroma, caps->depth_minus8);
    const Ability *able = yes ? &chip()->codecs[caps->codec] : &(Ability){0};
    int size = able->max_size;
    caps->supported = yes;
    caps->num_engines = yes ? chip()->num_engines : 0;
    caps->output_formats = yes ? (caps->depth_minus8 ? 1 << P016 : 1 << NV12) : 0;
    caps->max_width = caps->max_height = size;
    caps->max_blocks = size * size / 256;
    caps->min_width = able->min_width;
    caps->min_height = able->min_height;
    return SUCCESS;
}

typedef struct { CreateInfo info; unsigned long mapped; Picture pictures[MAX_SURFACES]; } Decoder;

static int inside(const CreateInfo *info) {
    ShortRectangle area = info->display;
    return area.left >= 0 && area.top >= 0 && area.left <= area.right && area.top <= area.bottom
        && (unsigned long)area.right <= info->width && (unsigned long)area.bottom <= info->height;
}

int cuvidCreateDecoder(Decoder **decoder, const CreateInfo *info) {
    if (context_current() != SUCCESS) return context_current();
    if (!supported(info->codec, info->chroma, info->depth_minus8)) return NOT_SUPPORTED;
    if (info->output_format != NV12 && info->output_format != P016) return NOT_SUPPORTED;
    if (info->num_surfaces < 1 || info->num_surfaces > MAX_SURFACES || !inside(info)) return INVALID_VALUE;
    if (!info->target_width || !info->target_height || info->target_width % 2 || info->target_height % 2)
        return INVALID_VALUE;
    const char *most = getenv("STANDIN_MOST_DECODERS");
    if (most && counters[LIVE_DECODERS] >= atol(most)) return OUT_OF_MEMORY;
    *decoder = calloc(1, sizeof **decoder);
    (*decoder)->info = *info;
    counters[LIVE_DECODERS]++;
    counters[DECODERS_CREATED]++;
    return SUCCESS;
}

int cuvidDestroyDecoder(Decoder *decoder) {
    if (context_current() != SUCCESS) return context_current();
    free(decoder);
    counters[LIVE_DECODERS]--;
    counters[DECODERS_DESTROYED]++;
    return SUCCESS;
}

// FFmpeg's own decoders pass a picture without its timestamp. Its colour is a hash (FNV-1a) of the last 64 bytes of
// coded data, which a test finds at the end of the packet; 17 bits of it, in a box where conversion to RGB never clips.
static Picture colour_of_data(const uint8_t *data, unsigned size) {
    uint32_t hash = 2166136261u;
    for (unsigned i = size > 64 ? size - 64 : 0; i < size; i++) hash = (hash ^ data[i]) * 16777619u;
    return (Picture){64 + (hash & 127), 112 + (hash >> 7 & 31), 112 + (hash >> 12 & 31), 1};
}

int cuvidDecodePicture(Decoder *decoder, const PictureParams *params) {
    if (context_current() != SUCCESS) return context_current();
    if (params->surface < 0 || (unsigned long)params->surface >= decoder->info.num_surfaces) return INVALID_VALUE;
    decoder->pictures[params->surface] =
        params->picture.decoded ? params->picture : colour_of_data(params->data, params->data_size);
    counters[PICTURES_DECODED]++;
    return SUCCESS;
}

// The pitch is longer than a row, and differs from that of FFmpeg's own buffers; PADDING shows where one is mistaken.
int cuvidMapVideoFrame64(Decoder *decoder, int surface, uint8_t **pointer, unsigned *pitch, void *processing) {
    (void)processing;
    if (context_current() != SUCCESS) return context_current();
    const CreateInfo *info = &decoder->info;
    if (surface < 0 || (unsigned long)surface >= info->num_surfaces || !decoder->pictures[surface].decoded)
        return INVALID_VALUE;
    if (decoder->mapped >= info->max_mapped) return INVALID_VALUE;
    Picture picture = decoder->pictures[surface];
    size_t width = info->target_width, height = info->target_height, rows = height + height / 2;
    int bytes = info->output_format == P016 ? 2 : 1;  // the low byte stays zero, as the low six bits of P010 must
    int ramp = getenv("STANDIN_RAMP") != NULL;
    *pitch = (width * bytes + 255) / 256 * 256 + 256;
    uint8_t *frame = *pointer = aligned_alloc(256, *pitch * rows);
    if (!frame) return OUT_OF_MEMORY;
    memset(frame, PADDING, *pitch * rows);
    for (size_t y = 0; y < rows; y++) {
        uint8_t *row = frame + y * *pitch;
        memset(row, 0, width * bytes);
        for (size_t x = 0; x < width; x++)
            row[x * bytes + bytes - 1] = y < height ? picture.y : x % 2 ? picture.v : picture.u;
        // Luma that says where in the coded picture it is, unless it is scaled.
        for (size_t x = 0; ramp && y < height && x < width; x++)
            row[x * bytes + bytes - 1] = (x + info->display.left + 3 * (y + info->display.top)) & 255;
    }
    decoder->mapped++;
    counters[LIVE_MAPPED]++;
    counters[FRAMES_MAPPED]++;
    return SUCCESS;
}

int cuvidUnmapVideoFrame64(Decoder *decoder, void *pointer) {
    if (context_current() != SUCCESS) return context_current();
    free(pointer);
    decoder->mapped--;
    counters[LIVE_MAPPED]--;
    return SUCCESS;
}
