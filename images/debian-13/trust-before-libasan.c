/*
 * Loaded into every program by /etc/ld.so.preload, so that programs trust the sandbox's authority also where no environment leads to
 * it: after `env -i`, `sudo -i`, in cron, and with trust stores that come inside packages. It does two things.
 *
 * 1. A runtime or a program that somebody installed gets the variables of /etc/environment that it does not have. Debian's own programs
 *    use the system's store and get nothing, so `env -i env` stays empty.
 * 2. Whoever reads a copy of the public authorities inside a Python or Ruby package, or the store of a JDK, reads the system's.
 *
 * The file's name contains "libasan.so": the address sanitizer of GCC refuses to start behind a library without that in its name.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Not from <fcntl.h>, which declares the functions that are defined here. The values are those of x86-64. */
enum { ACCESS_MODE = 3, READ_ONLY = 0, CREATE = 0100, APPEND = 02000, TEMPORARY = 020200000, CURRENT_DIRECTORY = -100 };
int openat(int directory, const char *path, int flags, ...);
FILE *_IO_fopen(const char *path, const char *mode);

#define ANCHOR "/usr/local/share/ca-certificates/caisson.crt"
#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"
/* The guest agent keeps it, see agent/internal/boot/java.go. */
#define JAVA_STORE "/run/caisson/cacerts"
/* Marks a store that its owner has added to. */
#define OWN "user.caisson.own"

/* Not pointers: each would be relocated at every start of a program. */
static const struct { char name[40], value[48]; } variables[] = {
  {"NODE_EXTRA_CA_CERTS", ANCHOR}, {"DENO_CERT", ANCHOR}, {"SSL_CERT_FILE", BUNDLE}, {"CURL_CA_BUNDLE", BUNDLE},
  {"REQUESTS_CA_BUNDLE", BUNDLE}, {"PIP_CERT", BUNDLE}, {"GIT_SSL_CAINFO", BUNDLE}, {"AWS_CA_BUNDLE", BUNDLE},
  {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", BUNDLE}, {"HTTPLIB2_CA_CERTS", BUNDLE}, {"CARGO_HTTP_CAINFO", BUNDLE},
  {"NIX_SSL_CERT_FILE", BUNDLE}, {"PERL_LWP_SSL_CA_FILE", BUNDLE}, {"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", BUNDLE},
  {"JULIA_SSL_CA_ROOTS_PATH", BUNDLE}, {"HEX_CACERTS_PATH", BUNDLE},
};

static int starts(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

static int ends(const char *text, const char *with) {
  size_t length = strlen(text), tail = strlen(with);
  return length >= tail && memcmp(text + length - tail, with, tail) == 0;
}

/* The program's file, without a terminating directory; "" when /proc is not there. */
static const char *executable(char *buffer, size_t size) {
  ssize_t length = readlink("/proc/self/exe", buffer, size - 1);
  buffer[length > 0 ? length : 0] = 0;
  return buffer;
}

static const char *base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

__attribute__((constructor)) static void set_variables(void) {
  char buffer[4096];
  const char *program;
  if (getauxval(AT_SECURE) != 0 || (getenv("NODE_EXTRA_CA_CERTS") != NULL && getenv("SSL_CERT_FILE") != NULL)) return;
  program = executable(buffer, sizeof buffer);
  if ((starts(program, "/usr/bin/") || starts(program, "/usr/sbin/")) && !starts(base(program), "python")) return;
  if (access(ANCHOR, R_OK) != 0) return;
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) setenv(variables[i].name, variables[i].value, 0);
}

/* What is read in the place of a store inside a package; NULL for all other files. */
static const char *store(const char *path) {
  static const char names[][20] = {"cacert.pem", "ca-certificates.crt", "cacerts.txt", "roots.pem", "ca-bundle.crt"};
  const char *name = base(path);
  if (strcmp(name, "cacerts") == 0) return ends(path, "/lib/security/cacerts") ? JAVA_STORE : NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(name, names[i]) == 0)
      return strstr(path, "/site-packages/") || strstr(path, "/dist-packages/") || strstr(path, "/gems/") ? BUNDLE : NULL;
  return NULL;
}

static const char *read_from(const char *path) {
  const char *other = store(path);
  char mark;
  /* Without an authority the copy is as good, and a store that somebody added to is theirs. */
  if (other == NULL || access(ANCHOR, R_OK) != 0 || access(other, R_OK) != 0 || access(path, R_OK) != 0) return path;
  return getxattr(path, OWN, &mark, 1) >= 0 ? path : other;
}

/* keytool read the system's store and writes it with an addition; a shell appends. Installers write files anew, and that is neither. */
static void mark(const char *path, int appends) {
  char buffer[4096];
  const char *program;
  if (store(path) == NULL) return;
  program = base(executable(buffer, sizeof buffer));
  if (appends || starts(program, "java") || starts(program, "keytool")) setxattr(path, OWN, "1", 1, 0);
}

static int open_file(const char *path, int flags, int mode) {
  int descriptor, saved;
  extern int *__errno_location(void);
  if (path == NULL) return openat(CURRENT_DIRECTORY, path, flags, mode);
  if ((flags & ACCESS_MODE) == READ_ONLY) return openat(CURRENT_DIRECTORY, read_from(path), flags, mode);
  descriptor = openat(CURRENT_DIRECTORY, path, flags, mode);
  saved = *__errno_location();
  if (descriptor >= 0) mark(path, (flags & APPEND) != 0);
  *__errno_location() = saved;
  return descriptor;
}

#define OPEN(name)                                                          \
  int name(const char *path, int flags, ...) {                              \
    int mode = 0;                                                           \
    if ((flags & CREATE) != 0 || (flags & TEMPORARY) == TEMPORARY) {        \
      va_list more;                                                         \
      va_start(more, flags);                                                \
      mode = va_arg(more, int);                                             \
      va_end(more);                                                         \
    }                                                                       \
    return open_file(path, flags, mode);                                    \
  }
OPEN(open)
OPEN(open64)

#define FOPEN(name)                                                         \
  FILE *name(const char *path, const char *mode) {                          \
    int reads = path != NULL && mode[0] == 'r' && strchr(mode, '+') == NULL; \
    return _IO_fopen(reads ? read_from(path) : path, mode);                 \
  }
FOPEN(fopen)
FOPEN(fopen64)
