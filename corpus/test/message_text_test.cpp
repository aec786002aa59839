// Text from outside: what reaches a terminal, a document, a shell or Python of it.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <random>
#include <string>

#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/message_text.h"
#include "corpus/quoting.h"

namespace normproof {
namespace {

TEST(Printable, KeepsWhatIsSeen) {
  for (const std::string text :
       {"", "plain\n\ttext ~", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac \xf0\x9f\x98\x80", "back\\slash"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, EscapesTheRest) {
  EXPECT_EQ(printable("\x1b[31mred\x07\r\x7f"), "\\x1b[31mred\\x07\\x0d\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xff\xfe \xc3 \xc0\xaf \xed\xa0\x80"), "\\xff\\xfe \\xc3 \\xc0\\xaf \\xed\\xa0\\x80");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");                               // the other escape sequence
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\xe2\\x80\\xae");  // right to left from here on
  EXPECT_EQ(printable("\xef\xbf\xbf \xef\xbb\xbf"), "\\xef\\xbf\\xbf \\xef\\xbb\\xbf");
  EXPECT_EQ(printable("end \xe2\x82"), "end \\xe2\\x82");
  EXPECT_EQ(printable_line("a\nb\tc"), "a\\nb\\tc");
}

TEST(Printable, IsCutBetweenCharacters) {
  EXPECT_EQ(printable("123456", 6), "123456");
  EXPECT_EQ(printable("1234567", 6), "123...");
  EXPECT_EQ(printable("12\xe2\x82\xac"
                      "5678",
                      7),
            "12...");
}

TEST(Printable, PiecesSayWhatTheWholeSays) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 2000; ++trial) {
    constexpr std::string_view kBytes = "a\n\x1b\x80\xbf\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\xff";
    std::string text;
    while (random() % 16 != 0) text += kBytes[random() % kBytes.size()];
    PrintableStream stream;
    std::string pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t count = 1 + random() % 3;
      pieces += stream.take(std::string_view(text).substr(at, count));
      at += count;
    }
    EXPECT_EQ(pieces + stream.finish(), printable(text));
    EXPECT_TRUE(is_utf8(printable(text)));
  }
}

TEST(JsonText, TakesAnyBytes) {
  const nlohmann::ordered_json document = {{"b\xff", "c\xc3\xa9\xff\x1b"}, {"a", {1, "\xfe"}}};
  const std::string text = json_text(document);
  EXPECT_EQ(text, "{\"b\\\\xff\":\"c\xc3\xa9\\\\xff\\\\x1b\",\"a\":[1,\"\\\\xfe\"]}");
  EXPECT_EQ(json_text({{"a", "\x1b"}}), "{\"a\":\"\\u001b\"}");
  EXPECT_EQ(nlohmann::ordered_json::parse(json_text(document, 2)), nlohmann::ordered_json::parse(text));
}

// What a program prints that a shell starts.
std::string output_of(const std::string& command) {
  std::FILE* stream = popen(command.c_str(), "r");
  EXPECT_NE(stream, nullptr);
  std::string text;
  std::array<char, 256> buffer;
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), stream))
    text.append(buffer.data(), count);
  EXPECT_EQ(pclose(stream), 0) << command;
  return text;
}

const std::array<std::string, 11> kHostile = {
    "plain/file.json",
    "x;touch PWN;.json",
    "a b",
    "it's",
    "$(touch PWN)`touch PWN`",
    "",
    "line\nend\t",
    "\x1b[31m\xff\\'7.so",
    "-x",
    "\u00e9\u0559\u20ac\U0001f600.so",
    "./\";__import__(\"os\").system(\"touch PWN\");\"#.so",
};

TEST(ShellQuoted, SaysTheSameInAShell) {
  for (const std::string& text : kHostile) {
    const std::string quoted = shell_quoted(text);
    EXPECT_EQ(quoted, printable_line(quoted));
    EXPECT_EQ(output_of("bash -c " + shell_quoted("printf %s " + quoted)), text);
  }
  EXPECT_EQ(shell_quoted("findings/a+b.json"), "findings/a+b.json");
  EXPECT_EQ(shell_quoted("it's"), "'it'\"'\"'s'");
  EXPECT_EQ(shell_quoted_file("-x y"), "'./-x y'");
}

TEST(PythonQuoted, SaysTheSameInPython) {
  for (const std::string& text : kHostile) {
    const std::string program = "import sys; sys.stdout.buffer.write(" + python_quoted(text) + ".encode())";
    EXPECT_TRUE(std::ranges::all_of(program, [](char c) { return c >= ' ' && c <= '~'; })) << program;
    EXPECT_EQ(output_of("python3 -c " + shell_quoted(program)), printable_line(text));
  }
}

TEST(Markdown, CodeEndsWhereTheTextEnds) {
  EXPECT_EQ(markdown_code("a"), "`a`");
  EXPECT_EQ(markdown_code("a`b\n``"), "``` a`b\\n`` ```");
  EXPECT_EQ(markdown_block("a"), "```\na\n```\n");
  EXPECT_EQ(markdown_block("a\n```\n# title\n", "json"), "````json\na\n```\n# title\n````\n");
}

}  // namespace
}  // namespace normproof
