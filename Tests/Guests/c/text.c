// The C library's string functions over every alignment and many lengths, wide characters, regular expressions, streams.
#define _GNU_SOURCE
#include <ctype.h>
#include <fnmatch.h>
#include <locale.h>
#include <regex.h>
#include <string.h>
#include <strings.h>
#include <wchar.h>
#include <wctype.h>
#include "guest.h"

static char left[512], right[512], space[1024];
static uint64_t digest = GUEST_DIGEST;
static void add(long value) { digest = guest_digest(digest, &value, sizeof value); }
static long sign(long value) { return (value > 0) - (value < 0); }
static long offset(const char *found, const char *base) { return found ? found - base : -1; }

static void blocks(void) {
  for (int align = 0; align < 34; align++)
    for (int length = 0; length < 150; length += 1 + length / 12) {
      for (int i = 0; i < 512; i++) left[i] = right[i] = (char)('a' + (i * 7 + length) % 23);
      memset(space, '.', sizeof space);
      memcpy(space + align, left + length % 9, (size_t)length);
      memmove(space + align + 3, space + align, (size_t)length);
      memset(space + 300 + align, 'x', (size_t)length);
      digest = guest_digest(digest, space, 600);
      char *text = left + align;
      text[length] = 0;
      right[align + length] = 0;
      add((long)strlen(text));
      add((long)strnlen(text, 20));
      add(sign(strcmp(text, right + align)));
      if (length > 3) right[align + length / 2]++;
      add(sign(strcmp(text, right + align)));
      add(sign(strncmp(text, right + align, (size_t)length / 2)));
      add(sign(memcmp(text, right + align, (size_t)length)));
      add(sign(strcasecmp(text, right + align)));
      add(offset(strchr(text, 'k'), text));
      add(offset(strrchr(text, 'k'), text));
      add(offset(strchrnul(text, 'Z'), text));
      add(offset(memchr(text, 'q', (size_t)length), text));
      add(offset(memrchr(text, 'q', (size_t)length), text));
      add(offset(rawmemchr(text, 0), text));
      add((long)strspn(text, "abcdefghij"));
      add((long)strcspn(text, "xyz"));
      add(offset(strpbrk(text, "wvu"), text));
      add(offset(strstr(text, "hov"), text));
      add(offset(memmem(text, (size_t)length, "dkr", 3), text));
      stpcpy(space, text);
      strcat(space, "+");
      strncat(space, text, 5);
      strncpy(space + 400, text, 60);
      digest = guest_digest(digest, space, 460);
    }
  printf("blocks %016lx\n", digest);
}

static void streams(void) {
  char *buffer = NULL;
  size_t size = 0;
  FILE *memory = open_memstream(&buffer, &size);
  for (int i = 0; i < 50; i++) fprintf(memory, "line %d\n", i * i);
  fclose(memory);
  FILE *reader = fmemopen(buffer, size, "r");
  char *line = NULL;
  size_t room = 0;
  int lines = 0, sum = 0, value;
  while (getline(&line, &room, reader) > 0) lines += sscanf(line, "line %d", &value), sum += value;
  printf("%d lines, sum %d\n", lines, sum);
  rewind(reader);
  int c = fgetc(reader);
  ungetc('L', reader);
  printf("%c%c%c", c, fgetc(reader), fgetc(reader));
  fseek(reader, -4, SEEK_END);
  printf("%ld %d\n", ftell(reader), fscanf(reader, "%d", &value));
  FILE *file = fopen("stream", "w+");
  setvbuf(file, NULL, _IOFBF, 77);
  for (int i = 0; i < 400; i++) fwrite(left, 1, (size_t)(i % 31), file);
  fflush(file);
  rewind(file);
  digest = GUEST_DIGEST;
  while ((c = fgetc(file)) != EOF) digest = guest_digest(digest, &c, 1);
  printf("stream %016lx eof %d error %d\n", digest, feof(file) != 0, ferror(file) != 0);
  char words[] = "one,two;;three", *keep;
  for (char *word = strtok_r(words, ",;", &keep); word; word = strtok_r(NULL, ",;", &keep)) printf("[%s]", word);
  puts("");
}

int main(void) {
  blocks();
  streams();
  regex_t pattern;
  regmatch_t match[3];
  CHECK(regcomp(&pattern, "([a-z]+)-([0-9]{2,4})", REG_EXTENDED) == 0);
  const char *subject = "glass case-12345 pane";
  int mismatch = regexec(&pattern, subject, 3, match, 0);
  printf("regex %d %d", mismatch, match[0].rm_so);
  printf(" %.*s\n", (int)(match[2].rm_eo - match[2].rm_so), subject + match[2].rm_so);
  printf("fnmatch %d %d\n", fnmatch("*.[ch]", "x.c", 0), fnmatch("a?c", "abd", 0));
  printf("locale %s\n", setlocale(LC_ALL, "C.UTF-8") ? "C.UTF-8" : "none");
  wchar_t wide[32];
  size_t length = mbstowcs(wide, "Gläserne Vitrine €", 32);
  printf("%zu wide, %ls, upper %lc, width %d\n", length, wide, (wint_t)towupper(wide[2]), wcswidth(wide, 32));
  int classes[8] = {0};
  for (int c = 0; c < 256; c++) {
    classes[0] += isalpha(c) != 0; classes[1] += isdigit(c) != 0; classes[2] += isspace(c) != 0; classes[3] += ispunct(c) != 0;
  }
  printf("%d %d %d %d %s %s\n", classes[0], classes[1], classes[2], classes[3], strerror(2), strsignal(11));
}
