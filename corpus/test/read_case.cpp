// Reads one JSON document per line from standard input and prints for each "accepted" or the reader's
// message. Exit status: 0 when all were accepted, 2 otherwise. Lets a script try thousands of documents in
// one process.
#include <iostream>
#include <string>

#include "corpus/case_json.h"

int main() {
  int status = 0;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      normproof::case_from_json(line);
      std::cout << "accepted\n";
    } catch (const normproof::CaseError& error) {
      std::cout << error.what() << '\n';
      status = 2;
    }
  }
  return status;
}
