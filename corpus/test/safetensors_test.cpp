#include "corpus/safetensors.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#include "corpus/test/temporary_folder.h"

namespace normproof {
namespace {

namespace fs = std::filesystem;

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int byte = 0; byte < 8; ++byte) bytes += static_cast<char>(value >> (8 * byte));
  return bytes;
}

std::vector<std::byte> counting_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return bytes;
}

class SafetensorsTest : public testing::Test {
 protected:
  fs::path write(const std::string& content, const std::string& name = "file.safetensors") {
    std::ofstream(folder_.path() / name, std::ios::binary) << content;
    return folder_.path() / name;
  }
  // A file with this header and `data_bytes` bytes of data.
  SafetensorsFile read(const std::string& header, std::size_t data_bytes) {
    return read_safetensors(write(little_endian(header.size()) + header + std::string(data_bytes, 'd')));
  }
  // "field: reason" of the error.
  std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const SafetensorsError& error) {
      EXPECT_EQ(std::string(error.what()), (folder_.path() / "file.safetensors").string() + ": " +
                                               error.field() + ": " + error.reason());
      return error.field() + ": " + error.reason();
    }
    return "no error";
  }
  std::string header_error(const std::string& header, std::size_t data_bytes) {
    return error_of([&] { read(header, data_bytes); });
  }
  TemporaryFolder folder_;
};

constexpr const char* kTwoTensors =
    R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
    R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"__metadata__":{"op":"rms_norm","empty":""}}  )";

TEST_F(SafetensorsTest, ReadsTensorsInTheOrderOfTheirBytes) {
  const SafetensorsFile file = read(kTwoTensors, 16);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "a");
  EXPECT_TRUE(file.tensors()[0].shape.empty());
  EXPECT_EQ(file.tensors()[1].name, "b");
  EXPECT_EQ(file.tensors()[1].dtype.dtype, DType::bf16);
  EXPECT_EQ(file.tensors()[1].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(file.tensors()[1].bytes, 12u);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"op", "rms_norm"}, {"empty", ""}}));
  EXPECT_EQ(file.find("b"), &file.tensors()[1]);
  EXPECT_EQ(file.find("c"), nullptr);
}

TEST_F(SafetensorsTest, WritesWhatItReads) {
  const auto four = counting_bytes(4), six = counting_bytes(6), none = counting_bytes(0);
  const std::vector<SafetensorsContent> contents = {{"x", DType::fp16, {3, 1}, six},
                                                    {"empty", DType::fp32, {0, 7}, none},
                                                    {"q \"\n", DType::fp8_e5m2fnuz, {2, 2}, four}};
  const std::map<std::string, std::string> metadata = {{"epsilon", "1e-6"}, {"note", "\xc3\xa9\n"}};
  const auto path = folder_.path() / "written.safetensors";
  write_safetensors(path, contents, metadata);
  const SafetensorsFile file = read_safetensors(path);
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.tensors().size(), 3u);
  for (const SafetensorsContent& content : contents) {
    const SafetensorsTensor* tensor = file.find(content.name);
    ASSERT_NE(tensor, nullptr) << content.name;
    EXPECT_EQ(tensor->dtype.dtype, content.dtype);
    EXPECT_EQ(tensor->shape, content.shape);
    EXPECT_EQ(file.read(*tensor), std::vector(content.data.begin(), content.data.end()));
  }
  // The tensors begin on a multiple of 8: 8 + header + 10 bytes of data.
  EXPECT_EQ((fs::file_size(path) - 10) % 8, 0u);
}

TEST_F(SafetensorsTest, WritingReplacesAsAWholeOrNotAtAll) {
  const auto four = counting_bytes(4);
  const auto path = folder_.path() / "kept.safetensors";
  write_safetensors(path, std::vector<SafetensorsContent>{{"x", DType::fp32, {1}, four}}, {});
  EXPECT_THROW(write_safetensors(path, std::vector<SafetensorsContent>{{"x", DType::fp32, {2}, four}}, {}),
               std::invalid_argument);
  EXPECT_THROW(
      write_safetensors(
          path, std::vector<SafetensorsContent>{{"x", DType::fp32, {1}, four}, {"x", DType::fp32, {1}, four}},
          {}),
      std::invalid_argument);
  EXPECT_EQ(read_safetensors(path).find("x")->shape, (std::vector<std::int64_t>{1}));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
  EXPECT_THROW(write_safetensors(folder_.path() / "absent" / "file", {}, {}), std::system_error);
}

TEST_F(SafetensorsTest, EveryDTypeOfTheFormatIsSizedByItsBits) {
  for (const auto& dtype : safetensors_dtypes()) {
    const auto header = [&](int bytes) {
      return R"({"t":{"dtype":")" + std::string(dtype.name) + R"(","shape":[8],"data_offsets":[0,)" +
             std::to_string(bytes) + "]}}";
    };
    EXPECT_EQ(read(header(dtype.bits), static_cast<std::size_t>(dtype.bits)).tensors()[0].bytes,
              static_cast<std::uint64_t>(dtype.bits));
    EXPECT_NE(header_error(header(dtype.bits + 1), static_cast<std::size_t>(dtype.bits) + 1), "no error");
    if (dtype.dtype) {
      // e8m0 has no dtype of its own: its bytes are read as those of U8.
      const std::string_view written = dtype.name == "F8_E8M0" ? "U8" : dtype.name;
      EXPECT_EQ(safetensors_name_of(*dtype.dtype), written);
      EXPECT_EQ(static_cast<std::size_t>(dtype.bits), 8 * size_of(*dtype.dtype));
    }
  }
  EXPECT_EQ(header_error(R"({"t":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2),
            "t.shape: 12 bits are no whole number of bytes");
}

TEST_F(SafetensorsTest, RefusesFilesWhoseHeaderLengthIsALie) {
  EXPECT_EQ(error_of([&] { read_safetensors(write("")); }),
            "header length: takes 8 bytes, but the file has only 0");
  EXPECT_EQ(error_of([&] { read_safetensors(write("1234567")); }),
            "header length: takes 8 bytes, but the file has only 7");
  EXPECT_EQ(error_of([&] { read_safetensors(write(little_endian(3) + "{}")); }),
            "header length: got 3 bytes, but the file has only 2 bytes after it");
  EXPECT_EQ(error_of([&] { read_safetensors(write(little_endian(100'000'001) + "{}")); }),
            "header length: at most 100000000 bytes, got 100000001");
  EXPECT_EQ(error_of([&] { read_safetensors(write(little_endian(UINT64_MAX) + "{}")); }),
            "header length: at most 100000000 bytes, got 18446744073709551615");
  EXPECT_EQ(error_of([&] { read_safetensors(write(little_endian(0))); }),
            "header: must begin with '{', got \"\"");
  fs::create_directory(folder_.path() / "folder");
  EXPECT_THROW(read_safetensors(folder_.path() / "folder"), SafetensorsError);
  EXPECT_THROW(read_safetensors(folder_.path() / "absent"), std::system_error);
}

TEST_F(SafetensorsTest, RefusesHeadersThatAreNotStrictJson) {
  EXPECT_EQ(header_error(" {}", 0), "header: must begin with '{', got \" {}\"");
  EXPECT_EQ(header_error("[]", 0), "header: must begin with '{', got \"[]\"");
  EXPECT_TRUE(header_error("{", 0).starts_with("header: parse error"));
  EXPECT_TRUE(header_error("{} {}", 0).starts_with("header: parse error"));
  EXPECT_TRUE(header_error("{\"\xff\":1}", 0).starts_with("header: parse error"));
  EXPECT_EQ(header_error(std::string("{}\0rubbish", 10), 0), "header: contains a NUL byte");
  EXPECT_EQ(header_error(R"({"a":1})", 0), "a: expected an object, got 1");
  EXPECT_EQ(header_error(R"({"a":[]})", 0), "a: expected an object, got an array");
  EXPECT_EQ(header_error(R"({"__metadata__":{"op":1}})", 0), "__metadata__.op: expected a string, got 1");
  EXPECT_EQ(header_error(R"({"__metadata__":{"op":{}}})", 0),
            "__metadata__.op: expected a string, got an object");
  EXPECT_EQ(header_error(R"({"__metadata__":{"op":"a","op":"a"}})", 0),
            "__metadata__.op: the key occurs twice");
  EXPECT_EQ(header_error(R"({"__metadata__":{},"__metadata__":{}})", 0),
            "__metadata__: the name occurs twice");
}

// `entry` replaces what a sound tensor "t" of 4 bytes would have.
TEST_F(SafetensorsTest, RefusesTensorsThatAreNotDescribedInFull) {
  const auto error = [&](const std::string& entry) { return header_error(R"({"t":{)" + entry + "}}", 4); };
  const std::string dtype = R"("dtype":"F32")", shape = R"("shape":[1])", offsets = R"("data_offsets":[0,4])";
  EXPECT_EQ(error(dtype + "," + shape + "," + offsets), "no error");
  EXPECT_EQ(error(shape + "," + offsets), "t.dtype: missing");
  EXPECT_EQ(error(dtype + "," + offsets), "t.shape: missing");
  EXPECT_EQ(error(dtype + "," + shape), "t.data_offsets: missing");
  EXPECT_EQ(error(dtype + "," + dtype + "," + shape + "," + offsets), "t.dtype: the key occurs twice");
  EXPECT_EQ(error(dtype + "," + shape + "," + shape + "," + offsets), "t.shape: the key occurs twice");
  EXPECT_EQ(error(dtype + "," + shape + "," + offsets + "," + offsets),
            "t.data_offsets: the key occurs twice");
  EXPECT_EQ(error(dtype + "," + shape + "," + offsets + R"(,"more":1)"),
            "t.more: unknown key; a tensor has dtype, shape and data_offsets");
  EXPECT_EQ(error(R"("dtype":"F33",)" + shape + "," + offsets), R"(t.dtype: unknown dtype "F33")");
  EXPECT_EQ(error(R"("dtype":7,)" + shape + "," + offsets), "t.dtype: expected a string, got 7");
  EXPECT_EQ(error(R"("dtype":[],)" + shape + "," + offsets), "t.dtype: expected a string, got an array");
  EXPECT_EQ(error(dtype + R"(,"shape":1,)" + offsets),
            "t.shape: expected an array of non-negative integers, got 1");
  for (const char* size : {"-1", "1.0", "1e0", "\"1\"", "null", "true"}) {
    EXPECT_TRUE(error(dtype + R"(,"shape":[)" + size + "]," + offsets)
                    .starts_with("t.shape: expected a non-negative integer, got "))
        << size;
  }
  EXPECT_EQ(error(dtype + R"(,"shape":[[1]],)" + offsets),
            "t.shape: expected a non-negative integer, got an array");
  EXPECT_EQ(error(dtype + R"(,"shape":[18446744073709551615],)" + offsets),
            "t.shape: numbers are below 2^63, got 18446744073709551615");
  EXPECT_EQ(error(dtype + "," + shape + R"(,"data_offsets":[0])"),
            "t.data_offsets: expected [begin, end], got 1 numbers");
  EXPECT_EQ(error(dtype + "," + shape + R"(,"data_offsets":[0,4,4])"),
            "t.data_offsets: expected [begin, end], got 3 numbers");
}

TEST_F(SafetensorsTest, RefusesClaimsThatTheDataDoesNotBearOut) {
  const auto error = [&](const std::string& shape, const std::string& offsets, std::size_t data_bytes) {
    return header_error(R"({"t":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
                        data_bytes);
  };
  EXPECT_EQ(error("[1]", "[4,0]", 4), "t.data_offsets: the end lies before the begin: [4, 0]");
  EXPECT_EQ(error("[2]", "[0,8]", 4),
            "t.data_offsets: [0, 8] reaches beyond the 4 bytes of data in the file");
  EXPECT_EQ(error("[2]", "[0,4]", 4),
            "t.data_offsets: [0, 4] holds 4 bytes, but the shape and dtype F32 take 8");
  EXPECT_EQ(error("[1]", "[0,8]", 8),
            "t.data_offsets: [0, 8] holds 8 bytes, but the shape and dtype F32 take 4");
  EXPECT_EQ(error("[4294967296,4294967296]", "[0,0]", 0),
            "t.shape: the number of elements overflows 64 bits at the size 4294967296");
  EXPECT_EQ(error("[4611686018427387904]", "[0,0]", 0),
            "t.shape: the size in bits overflows: 4611686018427387904 elements of F32");
  // A zero makes the tensor empty however large the other sizes are.
  EXPECT_EQ(error("[4294967296,4294967296,4294967296,0]", "[0,0]", 0), "no error");
  EXPECT_EQ(error("[1]", "[0,4]", 5), "header: the tensors cover 4 of the 5 bytes of data in the file");
  EXPECT_EQ(header_error("{}", 1), "header: the tensors cover 0 of the 1 bytes of data in the file");
  EXPECT_EQ(error("[1]", "[1,5]", 5),
            "t.data_offsets: leaves a hole: it begins at 1, the bytes before 0 are taken");
}

TEST_F(SafetensorsTest, RefusesTensorsThatOverlap) {
  EXPECT_EQ(header_error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                         R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
                         7),
            "b.data_offsets: overlaps the tensor before it: it begins at 3, the bytes before 4 are taken");
  EXPECT_EQ(header_error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                         R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                         4),
            "b.data_offsets: overlaps the tensor before it: it begins at 0, the bytes before 4 are taken");
}

TEST_F(SafetensorsTest, DuplicateNamesAreRefusedThoughTheyAreEqual) {
  EXPECT_EQ(header_error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                         R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                         1),
            "a: the name occurs twice");
}

TEST_F(SafetensorsTest, NoticesAFileThatShrinksWhileItIsRead) {
  const SafetensorsFile file = read(kTwoTensors, 16);
  fs::resize_file(file.path(), fs::file_size(file.path()) - 1);
  EXPECT_EQ(error_of([&] { file.read(*file.find("b")); }),
            "b: the file was cut off while it was read: 11 of 12 bytes are left");
  EXPECT_EQ(file.read(*file.find("a")).size(), 4u);
}

TEST_F(SafetensorsTest, StrangeNamesAreEscapedInMessages) {
  EXPECT_EQ(header_error("{\"\\n\\\"\":1}", 0), "\\x0a\\\": expected an object, got 1");
  EXPECT_EQ(header_error(R"({"":1})", 0), "\"\": expected an object, got 1");
}

}  // namespace
}  // namespace normproof
