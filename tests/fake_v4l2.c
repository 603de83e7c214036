/* A camera for OpenCV's V4L2 backend where there is none: preloaded, it answers for one device.
 *
 * FAKE_V4L2_DEVICE   the device that exists, such as /dev/video77
 * FAKE_V4L2_FRAMES   file of JPEGs, each after its length (4 bytes, little-endian)
 * FAKE_V4L2_CONTROL  file whose first word says how the camera is, read again for each frame:
 *     normal    frames one after another, 50 a second
 *     frozen    the first frame, for ever
 *     hang      the driver never comes back from handing over a frame
 *     gone      the device is not there, or was unplugged
 *     closed    this user may not open it
 *     busy      another program takes pictures from it
 *     metadata  a node of a camera that delivers no pictures
 *     yuyv      a camera that knows no JPEG, grey all over
 *
 * The device's descriptor is a timer's, so that select and poll wait for the next frame by
 * themselves.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 4, BUFFER_BYTES = 4 << 20 };

static int device = -1;
static FILE *frames;
static unsigned char *memory[BUFFERS];
static int queue[BUFFERS], queued;
static unsigned width = 640, height = 480, sequence;

static int camera_is(const char *state) {
    char word[32] = "normal";
    FILE *file = fopen(getenv("FAKE_V4L2_CONTROL"), "r");
    if (file) {
        if (fscanf(file, "%31s", word) != 1) strcpy(word, "normal");
        fclose(file);
    }
    return strcmp(word, state) == 0;
}

static int is_device(const char *path) {
    /* The device is no file, so that a link to it leads nowhere that realpath would find. */
    char target[256] = "";
    const char *fake = getenv("FAKE_V4L2_DEVICE");
    ssize_t size = readlink(path, target, sizeof target - 1);
    return fake && strcmp(size > 0 ? target : path, fake) == 0;
}

static int open_device(void) {
    if (camera_is("gone")) {
        errno = ENODEV;
        return -1;
    }
    if (camera_is("closed")) {
        errno = EACCES;
        return -1;
    }
    struct itimerspec rate = {{0, 20000000}, {0, 20000000}};
    device = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    timerfd_settime(device, 0, &rate, NULL);
    frames = fopen(getenv("FAKE_V4L2_FRAMES"), "rb");
    queued = 0;
    return device;
}

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;  \
        va_end(rest);                                                         \
        if (is_device(path)) return open_device();                            \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);        \
        return real(path, flags, mode);                                       \
    }
OPEN(open)
OPEN(open64)

#define OPEN_2(name, plain) \
    int name(const char *path, int flags) { return plain(path, flags); }
OPEN_2(__open_2, open)
OPEN_2(__open64_2, open64)

#define MMAP(name)                                                                              \
    void *name(void *where, size_t size, int protection, int flags, int file, off_t offset) {   \
        void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, #name);          \
        if (file != device || device < 0) return real(where, size, protection, flags, file, offset); \
        int number = offset / BUFFER_BYTES;                                                     \
        memory[number] = real(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); \
        return memory[number];                                                                  \
    }
MMAP(mmap)
MMAP(mmap64)

static size_t read_frame(unsigned char *into) {
    unsigned char length[4];
    if (camera_is("yuyv")) {
        memset(into, 128, (size_t)2 * width * height);
        into[0] = sequence;
        return (size_t)2 * width * height;
    }
    if (camera_is("frozen")) rewind(frames);
    if (fread(length, 1, 4, frames) != 4) {
        rewind(frames);
        if (fread(length, 1, 4, frames) != 4) return 0;
    }
    uint32_t size = length[0] | length[1] << 8 | length[2] << 16 | (uint32_t)length[3] << 24;
    return fread(into, 1, size, frames);
}

static int dequeue(struct v4l2_buffer *buffer) {
    uint64_t due;
    struct timespec now;
    while (camera_is("hang")) sleep(1000);
    if (camera_is("gone")) return ENODEV;
    if (!queued || read(device, &due, sizeof due) != sizeof due) return EAGAIN;
    buffer->index = queue[0];
    memmove(queue, queue + 1, --queued * sizeof *queue);
    buffer->bytesused = read_frame(memory[buffer->index]);
    buffer->length = BUFFER_BYTES;
    buffer->sequence = sequence++;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now.tv_nsec -= now.tv_nsec > 3000000 ? 3000000 : 0; /* captured 3 ms ago */
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    return 0;
}

static void describe(struct v4l2_format *format) {
    int yuyv = camera_is("yuyv");
    format->fmt.pix.width = width;
    format->fmt.pix.height = height;
    format->fmt.pix.pixelformat = yuyv ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
    format->fmt.pix.field = V4L2_FIELD_NONE;
    format->fmt.pix.bytesperline = yuyv ? 2 * width : 0;
    format->fmt.pix.sizeimage = yuyv ? 2 * width * height : BUFFER_BYTES;
}

static void set_format(struct v4l2_format *format) {
    /* As a real camera does, grant the nearest of the sizes that it knows. */
    width = format->fmt.pix.width >= 1280 ? 1280 : format->fmt.pix.width >= 640 ? 640 : 320;
    height = width == 1280 ? 720 : width * 3 / 4;
    describe(format);
}

static int answer(unsigned long request, void *data) {
    struct v4l2_capability *capability = data;
    struct v4l2_buffer *buffer = data;
    struct v4l2_streamparm *parameters = data;
    switch (request) {
    case VIDIOC_QUERYCAP:
        memset(capability, 0, sizeof *capability);
        strcpy((char *)capability->driver, "uvcvideo");
        capability->capabilities = camera_is("metadata") ? V4L2_CAP_META_CAPTURE
                                                         : V4L2_CAP_VIDEO_CAPTURE;
        capability->capabilities |= V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_G_FMT: describe(data); return 0;
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
        if (camera_is("busy")) return EBUSY;
        set_format(data);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parameters->parm.capture.timeperframe.numerator = 1;
        parameters->parm.capture.timeperframe.denominator = 50;
        return 0;
    case VIDIOC_REQBUFS:
        if (camera_is("busy")) return EBUSY;
        ((struct v4l2_requestbuffers *)data)->count = BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length = BUFFER_BYTES;
        buffer->m.offset = buffer->index * BUFFER_BYTES;
        return 0;
    case VIDIOC_QBUF: queue[queued++] = buffer->index; return 0;
    case VIDIOC_DQBUF: return dequeue(buffer);
    case VIDIOC_STREAMON: return 0;
    case VIDIOC_STREAMOFF: queued = 0; return 0;
    default: return EINVAL;
    }
}

int ioctl(int file, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (file != device || device < 0) {
        int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
        return real(file, request, data);
    }
    int failure = answer((uint32_t)request, data);
    if (failure) errno = failure;
    return failure ? -1 : 0;
}

int close(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    if (file == device && device >= 0) {
        device = -1;
        if (frames) fclose(frames);
        frames = NULL;
    }
    return real(file);
}
