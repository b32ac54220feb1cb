// What driver.c (device, memory, decoder) and parser.c (bitstream) share.
//
// The structures are those of NVIDIA's Video Codec SDK, as far as FFmpeg's decoders fill or read them. FFmpeg is
// compiled against them and real drivers serve old and new programs, so their layout does not change; the assertions
// hold it to the published one. Unused tails are left out where only a pointer is passed.

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum status {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, NOT_SUPPORTED = 801
};

enum codec { MPEG1, MPEG2, MPEG4, VC1, H264, JPEG, H264_SVC, H264_MVC, HEVC, VP8, VP9, AV1, NUM_CODECS };
enum chroma { MONOCHROME, CHROMA_420, CHROMA_422, CHROMA_444 };
enum surface { NV12 = 0, P016 = 1 };

// The order is that of `Counters` in __init__.py.
enum counter {
    LIVE_ALLOCATIONS, LIVE_CONTEXTS, LIVE_DECODERS, LIVE_PARSERS, LIVE_MAPPED,
    DECODERS_CREATED, DECODERS_DESTROYED, PICTURES_DECODED, FRAMES_MAPPED, NUM_COUNTERS
};
extern atomic_long counters[NUM_COUNTERS];

// A picture is one colour.
typedef struct { uint8_t y, u, v, decoded; } Picture;

typedef struct { int left, top, right, bottom; } Rectangle;
typedef struct { short left, top, right, bottom; } ShortRectangle;

typedef struct {                       // CUVIDEOFORMAT
    int codec;
    unsigned frame_rate[2];
    uint8_t progressive, luma_depth_minus8, chroma_depth_minus8, min_surfaces;
    unsigned coded_width, coded_height;
    Rectangle display;
    int chroma;
    unsigned bit_rate;
    int aspect_ratio[2];
    uint8_t signal_type;               // bits 0-2: video_format (5: unspecified), bit 3: full range
    uint8_t primaries, transfer, matrix;
    unsigned header_size;
} VideoFormat;
_Static_assert(sizeof(VideoFormat) == 64 && offsetof(VideoFormat, chroma) == 40, "CUVIDEOFORMAT");

typedef struct {                       // CUVIDDECODECAPS
    int codec, chroma;
    unsigned depth_minus8, reserved1[3];
    uint8_t supported, num_engines;
    uint16_t output_formats;
    unsigned max_width, max_height, max_blocks;
    uint16_t min_width, min_height;
    unsigned reserved2[11];
} Capabilities;
_Static_assert(sizeof(Capabilities) == 88 && offsetof(Capabilities, min_width) == 40, "CUVIDDECODECAPS");

typedef struct {                       // CUVIDDECODECREATEINFO
    unsigned long width, height, num_surfaces;
    int codec, chroma;
    unsigned long flags, depth_minus8, intra_only, max_width, max_height, reserved1;
    ShortRectangle display;
    int output_format, deinterlace;
    unsigned long target_width, target_height, max_mapped;
    void *lock;
    ShortRectangle target;
    unsigned long histogram, reserved2[4];
} CreateInfo;
_Static_assert(sizeof(CreateInfo) == 176 && offsetof(CreateInfo, target_width) == 96, "CUVIDDECODECREATEINFO");

typedef struct {                       // CUVIDPICPARAMS, without what is particular to each codec
    int width_blocks, height_blocks, surface, field, bottom, second;
    unsigned data_size;
    const uint8_t *data;
    unsigned num_slices;
    const unsigned *slice_offsets;
    int is_reference, is_intra;
    Picture picture;                   // the first reserved word: parser.c leaves the colour here, FFmpeg a zero
    unsigned reserved[29];
} PictureParams;
_Static_assert(sizeof(PictureParams) == 184 && offsetof(PictureParams, is_reference) == 56, "CUVIDPICPARAMS");

typedef struct {                       // CUVIDPARSERDISPINFO
    int surface, progressive, top_first, repeat_first;
    long long timestamp;
} DisplayInfo;

typedef struct {                       // CUVIDPARSERPARAMS
    int codec;
    unsigned num_surfaces, clock_rate, error_threshold, max_display_delay, flags, reserved1[4];
    void *user;
    int (*on_sequence)(void *, VideoFormat *);
    int (*on_decode)(void *, PictureParams *);
    int (*on_display)(void *, DisplayInfo *);
    void *reserved2[8];
} ParserParams;
_Static_assert(sizeof(ParserParams) == 136 && offsetof(ParserParams, user) == 40, "CUVIDPARSERPARAMS");

typedef struct {                       // CUVIDSOURCEDATAPACKET
    unsigned long flags, size;
    const uint8_t *data;
    long long timestamp;
} SourcePacket;
