// The bitstream half of the stand-in: finds size, depth and colour in H.264 and HEVC headers, calls FFmpeg back.
//
// Only the `*_cuvid` decoders use it. Every packet is one picture, and its colour is its timestamp:
// Y = ts & 255, U = ts >> 8 & 255, V = ts >> 16 & 255.

#include "driver.h"
#include <stdlib.h>
#include <string.h>

enum { ENDOFSTREAM = 1, TIMESTAMP = 2, DISCONTINUITY = 4, REORDER = 4, MAX_PENDING = 64, MAX_HEADER = 512 };

// ---- Bits: a header with its emulation prevention bytes (the 3 in 0 0 3) taken out.

typedef struct { uint8_t data[MAX_HEADER]; unsigned size, position; } Bits;

static void start(Bits *bits, const uint8_t *nal, size_t size) {
    memset(bits, 0, sizeof *bits);
    for (size_t i = 0; i < size && bits->size < MAX_HEADER; i++)
        if (!(i >= 2 && nal[i] == 3 && nal[i - 1] == 0 && nal[i - 2] == 0)) bits->data[bits->size++] = nal[i];
}

static unsigned u(Bits *bits, int count) {
    unsigned value = 0;
    for (; count > 0; count--, bits->position++) {
        unsigned byte = bits->position / 8;
        value = value << 1 | (byte < bits->size ? bits->data[byte] >> (7 - bits->position % 8) & 1 : 0);
    }
    return value;
}

static void skip(Bits *bits, int count) { bits->position += count; }

static unsigned ue(Bits *bits) {
    int zeros = 0;
    while (zeros < 31 && !u(bits, 1)) zeros++;
    return (1u << zeros) - 1 + u(bits, zeros);
}

static void skip_ue(Bits *bits, int count) { while (count-- > 0) ue(bits); }

// ---- Sequence headers.

static void read_colour(Bits *bits, VideoFormat *format) {  // the head of the VUI, the same in H.264 and HEVC
    format->signal_type = 5;
    format->primaries = format->transfer = format->matrix = 2;  // unspecified
    if (!u(bits, 1)) return;
    if (u(bits, 1) && u(bits, 8) == 255) skip(bits, 32);  // aspect ratio
    if (u(bits, 1)) skip(bits, 1);                        // overscan
    if (!u(bits, 1)) return;
    format->signal_type = u(bits, 3);
    format->signal_type |= u(bits, 1) << 3;
    if (!u(bits, 1)) return;
    format->primaries = u(bits, 8);
    format->transfer = u(bits, 8);
    format->matrix = u(bits, 8);
}

static void set_size(VideoFormat *format, unsigned width, unsigned height, Rectangle crop, int unit_x, int unit_y) {
    format->coded_width = width;
    format->coded_height = height;
    format->display = (Rectangle){crop.left * unit_x, crop.top * unit_y,
                                  (int)width - crop.right * unit_x, (int)height - crop.bottom * unit_y};
    format->aspect_ratio[0] = format->display.right - format->display.left;
    format->aspect_ratio[1] = format->display.bottom - format->display.top;
}

static void read_h264(Bits *bits, VideoFormat *format) {
    skip(bits, 8);
    unsigned profile = u(bits, 8);
    skip(bits, 16);
    ue(bits);
    format->chroma = CHROMA_420;
    if (profile >= 100 || profile == 44 || profile == 83 || profile == 86) {  // Baseline, Main, Extended have none
        format->chroma = ue(bits);
        if (format->chroma == CHROMA_444) skip(bits, 1);
        format->luma_depth_minus8 = ue(bits);
        format->chroma_depth_minus8 = ue(bits);
        skip(bits, 1);
        if (u(bits, 1)) return;  // scaling lists are not read: such a stream has no size, and brings nothing
    }
    ue(bits);
    unsigned order_type = ue(bits);
    if (order_type == 0) ue(bits);
    if (order_type == 1) {
        skip(bits, 1);
        skip_ue(bits, 2);
        skip_ue(bits, ue(bits));
    }
    ue(bits);
    skip(bits, 1);
    unsigned width = (ue(bits) + 1) * 16, map_height = (ue(bits) + 1) * 16;
    format->progressive = u(bits, 1);
    if (!format->progressive) skip(bits, 1);
    skip(bits, 1);
    Rectangle crop = {0};
    if (u(bits, 1)) crop.left = ue(bits), crop.right = ue(bits), crop.top = ue(bits), crop.bottom = ue(bits);
    int field = 2 - format->progressive;
    set_size(format, width, map_height * field, crop, format->chroma == CHROMA_444 ? 1 : 2,
             format->chroma == CHROMA_420 ? 2 * field : field);
    read_colour(bits, format);
}

static void read_hevc(Bits *bits, VideoFormat *format) {
    skip(bits, 16 + 4);
    int layers = u(bits, 3), present[8][2] = {{0}};
    skip(bits, 1 + 88 + 8);
    for (int i = 0; i < layers; i++) present[i][0] = u(bits, 1), present[i][1] = u(bits, 1);
    if (layers) skip(bits, 2 * (8 - layers));
    for (int i = 0; i < layers; i++) skip(bits, 88 * present[i][0] + 8 * present[i][1]);
    ue(bits);
    format->chroma = ue(bits);
    if (format->chroma == CHROMA_444) skip(bits, 1);
    unsigned width = ue(bits), height = ue(bits);
    Rectangle crop = {0};
    if (u(bits, 1)) crop.left = ue(bits), crop.right = ue(bits), crop.top = ue(bits), crop.bottom = ue(bits);
    set_size(format, width, height, crop, format->chroma == CHROMA_444 ? 1 : 2, format->chroma == CHROMA_420 ? 2 : 1);
    format->progressive = 1;
    format->luma_depth_minus8 = ue(bits);
    format->chroma_depth_minus8 = ue(bits);
    int order_bits = ue(bits) + 4;
    skip_ue(bits, u(bits, 1) ? 3 * (layers + 1) : 3);
    skip_ue(bits, 6);
    Bits untagged = {{0}, 1, 0};
    read_colour(&untagged, format);
    if (u(bits, 1) && u(bits, 1)) return;  // scaling lists and reference picture sets are not read:
    skip(bits, 2);                         // such a stream counts as untagged
    if (u(bits, 1)) {
        skip(bits, 8);
        skip_ue(bits, 2);
        skip(bits, 1);
    }
    if (ue(bits)) return;
    if (u(bits, 1)) skip(bits, ue(bits) * (order_bits + 1));
    skip(bits, 2);
    read_colour(bits, format);
}

// ---- Packets.

typedef struct {
    int has_picture, is_intra, is_fresh, is_random_access, is_leading, has_format;
    VideoFormat format;
} Unit;

static void read_nal(int codec, const uint8_t *nal, size_t size, Unit *unit) {
    Bits bits;
    start(&bits, nal, size);
    int type = codec == H264 ? nal[0] & 31 : nal[0] >> 1 & 63;
    if (type == (codec == H264 ? 7 : 33)) {
        unit->format = (VideoFormat){.codec = codec};
        (codec == H264 ? read_h264 : read_hevc)(&bits, &unit->format);
        unit->has_format = 1;
    } else if (codec == H264 && (type == 1 || type == 5) && !unit->has_picture) {
        unit->has_picture = 1;
        unit->is_fresh = type == 5;  // IDR: all that came before is shown before
        skip(&bits, 8);
        ue(&bits);
        unit->is_intra = ue(&bits) % 5 == 2;
    } else if (codec == HEVC && type < 32 && !unit->has_picture) {
        unit->has_picture = 1;
        unit->is_fresh = type == 19 || type == 20;
        unit->is_intra = unit->is_random_access = type >= 16 && type <= 23;
        unit->is_leading = type == 8 || type == 9;  // RASL: refers to pictures before the keyframe
    }
}

static size_t start_code(const uint8_t *data, size_t from, size_t size) {
    for (; from + 3 <= size; from++)
        if (!data[from] && !data[from + 1] && data[from + 2] == 1) return from;
    return size;
}

static Unit read_packet(int codec, const uint8_t *data, size_t size) {
    Unit unit = {0};
    for (size_t begin = start_code(data, 0, size); begin + 3 < size;) {
        size_t end = start_code(data, begin + 3, size);
        read_nal(codec, data + begin + 3, end - begin - 3, &unit);
        begin = end;
    }
    return unit;
}

// ---- The parser. A picture is complete when the next one begins, so one packet is always held back. Then pictures
// wait until so many others have come that none earlier can follow, which puts B-frames in order of timestamp.

typedef struct { int surface, sequence; long long timestamp; } Pending;
typedef struct {
    ParserParams params;
    VideoFormat format, announced;
    int holds, held_intra, held_fresh, started, skips_leading, sequence, num_surfaces, last_surface, num_pending;
    long long held_timestamp;
    Pending pending[MAX_PENDING];
} Parser;

static int is_before(const Pending *a, const Pending *b) {
    return a->sequence < b->sequence || (a->sequence == b->sequence && a->timestamp < b->timestamp);
}

static void display(Parser *parser) {
    Pending *first = parser->pending, *last = first + --parser->num_pending;
    for (Pending *other = first + 1; other <= last; other++)
        if (is_before(other, first)) first = other;
    Pending shown = *first;
    *first = *last;
    DisplayInfo info = {.surface = shown.surface, .progressive = 1, .timestamp = shown.timestamp};
    parser->params.on_display(parser->params.user, &info);
}

static int announce(Parser *parser) {
    if (memcmp(&parser->format, &parser->announced, sizeof parser->format) == 0) return 1;
    while (parser->num_pending) display(parser);
    parser->announced = parser->format;
    VideoFormat copy = parser->format;
    int result = parser->params.on_sequence(parser->params.user, &copy);
    if (result < 1) parser->announced = (VideoFormat){0};
    parser->num_surfaces = result > 1 ? result : (int)parser->params.num_surfaces;
    return result;
}

static int is_pending(const Parser *parser, int surface) {
    for (int i = 0; i < parser->num_pending; i++)
        if (parser->pending[i].surface == surface) return 1;
    return 0;
}

static void complete(Parser *parser) {
    if (!parser->holds) return;
    parser->holds = 0;
    if (!announce(parser)) return;
    parser->sequence += parser->held_fresh;
    do parser->last_surface = (parser->last_surface + 1) % parser->num_surfaces;
    while (is_pending(parser, parser->last_surface));
    long long ts = parser->held_timestamp;
    PictureParams params = {.surface = parser->last_surface, .is_intra = parser->held_intra,
                            .picture = {ts & 255, ts >> 8 & 255, ts >> 16 & 255, 1}};
    if (!parser->params.on_decode(parser->params.user, &params)) return;
    parser->pending[parser->num_pending++] = (Pending){parser->last_surface, parser->sequence, ts};
    // After decoding, never before: FFmpeg maps what is displayed only when this packet is done, so a surface that is
    // displayed first and decoded into next would show the wrong picture.
    int most = REORDER + (int)parser->params.max_display_delay;
    while (parser->num_pending > most || parser->num_pending >= parser->num_surfaces) display(parser);
}

static void hold(Parser *parser, const Unit *unit, long long timestamp) {
    if (!parser->format.coded_width) return;             // no sequence header yet
    if (!parser->started && !unit->is_intra) return;     // nothing to refer to
    if (unit->is_random_access) parser->skips_leading = !parser->started;
    if (unit->is_leading && parser->skips_leading) return;
    parser->started = parser->holds = 1;
    parser->held_intra = unit->is_intra;
    parser->held_fresh = unit->is_fresh;
    parser->held_timestamp = timestamp;
}

int cuvidCreateVideoParser(Parser **parser, const ParserParams *params) {
    if (params->codec != H264 && params->codec != HEVC) return NOT_SUPPORTED;
    if (params->max_display_delay > MAX_PENDING - REORDER - 2) return INVALID_VALUE;
    *parser = calloc(1, sizeof **parser);
    (*parser)->params = *params;
    counters[LIVE_PARSERS]++;
    return SUCCESS;
}

int cuvidParseVideoData(Parser *parser, const SourcePacket *packet) {
    if (packet->flags & DISCONTINUITY) parser->holds = parser->started = parser->num_pending = 0;
    if (packet->size) {
        Unit unit = read_packet(parser->params.codec, packet->data, packet->size);
        if (unit.has_picture) complete(parser);
        if (unit.has_format) {
            parser->format = unit.format;
            parser->format.min_surfaces = REORDER + parser->params.max_display_delay + 2;
        }
        if (unit.has_picture) hold(parser, &unit, packet->flags & TIMESTAMP ? packet->timestamp : 0);
    }
    if (packet->flags & ENDOFSTREAM) {
        complete(parser);
        while (parser->num_pending) display(parser);
    }
    return SUCCESS;
}

int cuvidDestroyVideoParser(Parser *parser) {
    free(parser);
    counters[LIVE_PARSERS]--;
    return SUCCESS;
}
