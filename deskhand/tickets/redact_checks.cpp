#include "deskhand/tickets/redact_checks.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace deskhand {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}
int digit(char c) {
  return c - '0';
}

// Of digits, however many.
int modulo(std::string_view digits, int by) {
  int rest = 0;
  for (const char c : digits) rest = (rest * 10 + digit(c)) % by;
  return rest;
}

int weighted(std::string_view digits, std::initializer_list<int> weights) {
  int sum = 0;
  auto at = digits.begin();
  for (const int weight : weights) sum += weight * digit(*at++);
  return sum;
}

// Luhn's sum without the last digit's place being special: of all digits, the last not doubled.
int luhn_sum(std::string_view digits) {
  int sum = 0;
  bool doubled = false;
  for (auto c = digits.rbegin(); c != digits.rend(); ++c, doubled = !doubled) {
    const int d = digit(*c) * (doubled ? 2 : 1);
    sum += d > 9 ? d - 9 : d;
  }
  return sum;
}

constexpr std::pair<std::string_view, std::size_t> kIbanLengths[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22}, {"BR", 29}, {"BY", 28},
    {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18},
    {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HR", 21}, {"HU", 28}, {"IE", 22},
    {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20},
    {"LU", 20}, {"LV", 21}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NL", 18}, {"NO", 15},
    {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"SA", 24}, {"SC", 31}, {"SE", 24}, {"SI", 19},
    {"SK", 24}, {"SM", 27}, {"ST", 25}, {"SV", 28}, {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}};

constexpr int k7[] = {7}, k8[] = {8}, k9[] = {9}, k10[] = {10}, k11[] = {11}, k12[] = {12};
constexpr int k8or9[] = {8, 9}, k9or10[] = {9, 10}, k9or12[] = {9, 12}, k8to10[] = {8, 9, 10}, k2to10[] = {10, 9, 8, 7, 6};

struct Country {
  std::string_view code;
  std::span<const int> lengths;
};
constexpr Country kVat[] = {{"AT", k9},  {"BE", k10},    {"BG", k9or10}, {"CY", k9},  {"CZ", k8to10}, {"DE", k9},
                            {"DK", k8},  {"EE", k9},     {"EL", k9},     {"GR", k9},  {"ES", k9},     {"FI", k8},
                            {"FR", k11}, {"GB", k9or12}, {"XI", k9or12}, {"HR", k11}, {"HU", k8},     {"IE", k8or9},
                            {"IT", k11}, {"LT", k9or12}, {"LU", k8},     {"LV", k11}, {"MT", k8},     {"NL", k12},
                            {"PL", k10}, {"PT", k9},     {"RO", k2to10}, {"SE", k12}, {"SI", k8},     {"SK", k10}};

// ISO 7064 mod 11,10, the last digit is the check: Germany, Croatia.
bool mod_11_10(std::string_view digits) {
  int product = 10;
  for (const char c : digits.substr(0, digits.size() - 1)) {
    const int sum = (digit(c) + product) % 10;
    product = 2 * (sum == 0 ? 10 : sum) % 11;
  }
  return (11 - product) % 10 == digit(digits.back());
}

bool is_british(std::string_view digits) {
  const int sum = weighted(digits, {8, 7, 6, 5, 4, 3, 2}) + std::stoi(std::string(digits.substr(7, 2)));
  return sum % 97 == 0 || (sum + 55) % 97 == 0;
}

bool is_dutch(std::string_view rest) {  // 123456789B01
  if (rest[9] != 'B' || !all_digits(rest.substr(0, 9)) || !all_digits(rest.substr(10))) return false;
  if (weighted(rest, {9, 8, 7, 6, 5, 4, 3, 2}) % 11 == digit(rest[8])) return true;
  const std::string number =
      "2321" + std::string(rest.substr(0, 9)) + "11" + std::string(rest.substr(10));  // N = 23, L = 21, B = 11: since 2020
  return modulo(number, 97) == 1;
}

bool is_irish(std::string_view rest) {  // 1234567T, 1234567TW
  if (!all_digits(rest.substr(0, 7))) return false;
  int sum = weighted(rest, {8, 7, 6, 5, 4, 3, 2});
  if (rest.size() == 9) {
    if (rest[8] != 'W' && (rest[8] < 'A' || rest[8] > 'I')) return false;
    if (rest[8] != 'W') sum += 9 * (rest[8] - 'A' + 1);
  }
  return rest[7] == "WABCDEFGHIJKLMNOPQRSTUV"[sum % 23];
}

bool is_spanish(std::string_view rest) {
  if (is_spanish_identity_number(rest)) return true;
  if (std::string_view("ABCDEFGHJNPQRSUVW").find(rest[0]) == std::string_view::npos || !all_digits(rest.substr(1, 7))) return false;
  int sum = 0;
  for (int i = 1; i <= 7; ++i) {
    const int d = digit(rest[static_cast<std::size_t>(i)]) * (i % 2 ? 2 : 1);
    sum += d / 10 + d % 10;
  }
  const int check = (10 - sum % 10) % 10;
  return rest[8] == static_cast<char>('0' + check) || rest[8] == "JABCDEFGHI"[check];
}

bool is_hungarian(std::string_view digits) {
  return weighted(digits, {9, 7, 3, 1, 9, 7, 3, 1}) % 10 == 0;
}

bool is_french(std::string_view rest) {
  if (!all_digits(rest.substr(2))) return false;
  if (!all_digits(rest.substr(0, 2))) return passes_luhn(rest.substr(2));  // keys with letters: the company's own number is checked
  return passes_luhn(rest.substr(2)) && (12 + 3 * modulo(rest.substr(2), 97)) % 97 == std::stoi(std::string(rest.substr(0, 2)));
}

bool is_austrian(std::string_view rest) {
  if (rest[0] != 'U' || !all_digits(rest.substr(1))) return false;
  int sum = 4;
  for (std::size_t i = 1; i <= 7; ++i) {
    const int d = digit(rest[i]) * (i % 2 ? 1 : 2);
    sum += d / 10 + d % 10;
  }
  return (10 - sum % 10) % 10 == digit(rest[8]);
}

}  // namespace

std::size_t iban_length(std::string_view country) {
  const auto* found = std::find_if(std::begin(kIbanLengths), std::end(kIbanLengths), [&](const auto& one) { return one.first == country; });
  return found == std::end(kIbanLengths) ? 0 : found->second;
}

bool is_iban(std::string_view text) {
  if (text.size() < 5 || text.size() != iban_length(text.substr(0, 2)) || !is_digit(text[2]) || !is_digit(text[3])) return false;
  int rest = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[(i + 4) % text.size()];
    if (is_digit(c))
      rest = (rest * 10 + digit(c)) % 97;
    else if (is_upper(c))
      rest = (rest * 100 + c - 'A' + 10) % 97;
    else
      return false;
  }
  return rest == 1;
}

bool passes_luhn(std::string_view digits) {
  return all_digits(digits) && luhn_sum(digits) % 10 == 0;
}

bool is_card(std::string_view digits, bool& sure) {
  if (digits.size() < 12 || digits.size() > 19 || !passes_luhn(digits)) return false;
  const auto length = digits.size();
  const int two = std::stoi(std::string(digits.substr(0, 2))), three = std::stoi(std::string(digits.substr(0, 3))),
            four = std::stoi(std::string(digits.substr(0, 4)));
  sure = (digits[0] == '4' && length == 16) || (length == 16 && ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720))) ||
         (length == 15 && (two == 34 || two == 37)) || (length == 16 && (four == 6011 || two == 65 || (three >= 644 && three <= 649))) ||
         (length == 16 && four >= 3528 && four <= 3589) || (length == 14 && (two == 36 || two == 38 || (three >= 300 && three <= 305)));
  const bool possible =
      (digits[0] == '4' && (length == 13 || length == 19)) || (two == 62 && length >= 16) || two == 50 || (two >= 56 && two <= 69);
  return sure || possible;
}

std::span<const int> vat_lengths(std::string_view country) {
  const auto* found = std::find_if(std::begin(kVat), std::end(kVat), [&](const Country& one) { return one.code == country; });
  return found == std::end(kVat) ? std::span<const int>() : found->lengths;
}

VatCheck check_vat(std::string_view country, std::string_view rest) {
  const auto lengths = vat_lengths(country);
  if (std::find(lengths.begin(), lengths.end(), static_cast<int>(rest.size())) == lengths.end()) return VatCheck::kFailed;
  const auto verdict = [](bool passed) { return passed ? VatCheck::kPassed : VatCheck::kFailed; };
  if (country == "AT") return verdict(is_austrian(rest));
  if (country == "FR") return verdict(is_french(rest));
  if (country == "NL") return verdict(is_dutch(rest));
  if (country == "IE") return verdict(is_irish(rest));
  if (country == "ES") return verdict(is_spanish(rest));
  if (country == "CY") return is_upper(rest[8]) && all_digits(rest.substr(0, 8)) ? VatCheck::kNone : VatCheck::kFailed;
  if (!all_digits(rest)) return VatCheck::kFailed;
  if (country == "DE") return verdict(rest[0] != '0' ? mod_11_10(rest) : false);
  if (country == "HR") return verdict(mod_11_10(rest));
  if (country == "GB" || country == "XI") return verdict(is_british(rest));
  if (country == "BE")
    return verdict((rest[0] == '0' || rest[0] == '1') && 97 - modulo(rest.substr(0, 8), 97) == modulo(rest.substr(8), 100));
  if (country == "IT") return verdict(passes_luhn(rest));
  if (country == "PL") return verdict(weighted(rest, {6, 5, 7, 2, 3, 4, 5, 6, 7}) % 11 == digit(rest[9]));
  if (country == "DK") return verdict(rest[0] != '0' && weighted(rest, {2, 7, 6, 5, 4, 3, 2, 1}) % 11 == 0);
  if (country == "FI") return verdict((11 - weighted(rest, {7, 9, 10, 5, 8, 4, 2}) % 11) % 11 == digit(rest[7]));
  if (country == "SE") return verdict(rest.substr(10) >= "01" && passes_luhn(rest.substr(0, 10)));
  if (country == "PT") {
    const int check = 11 - weighted(rest, {9, 8, 7, 6, 5, 4, 3, 2}) % 11;
    return verdict((check > 9 ? 0 : check) == digit(rest[8]));
  }
  if (country == "LU") return verdict(modulo(rest.substr(0, 6), 89) == modulo(rest.substr(6), 100));
  if (country == "HU") return verdict(is_hungarian(rest));
  if (country == "EL" || country == "GR") return verdict(weighted(rest, {256, 128, 64, 32, 16, 8, 4, 2}) % 11 % 10 == digit(rest[8]));
  if (country == "SI") return verdict((11 - weighted(rest, {8, 7, 6, 5, 4, 3, 2}) % 11) % 10 == digit(rest[7]));
  if (country == "SK") return verdict(modulo(rest, 11) == 0);
  if (country == "MT") return verdict((37 - weighted(rest, {3, 4, 6, 7, 8, 9}) % 37) == modulo(rest.substr(6), 100));
  if (country == "EE") return verdict((10 - weighted(rest, {3, 7, 1, 3, 7, 1, 3, 7}) % 10) % 10 == digit(rest[8]));
  return VatCheck::kNone;
}

bool is_german_pension_number(std::string_view text) {
  if (text.size() != 12 || !all_digits(text.substr(0, 8)) || !is_upper(text[8]) || !all_digits(text.substr(9))) return false;
  const int day = std::stoi(std::string(text.substr(2, 2))), month = std::stoi(std::string(text.substr(4, 2)));
  if (day < 1 || day > 81 || month < 1 || month > 12) return false;  // 50 is added to a day where numbers ran out
  const int letter = text[8] - 'A' + 1;
  const std::string digits = std::string(text.substr(0, 8)) + static_cast<char>('0' + letter / 10) + static_cast<char>('0' + letter % 10) +
                             std::string(text.substr(9, 2));
  constexpr std::array<int, 12> kWeights = {2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1};
  int sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const int product = digit(digits[i]) * kWeights[i];
    sum += product / 10 + product % 10;
  }
  return sum % 10 == digit(text[11]);
}

bool is_french_security_number(std::string_view text) {
  if (text.size() != 15 || (text[0] != '1' && text[0] != '2')) return false;
  std::string digits(text.substr(0, 13));
  if (digits[5] == '2' && (digits[6] == 'A' || digits[6] == 'B')) digits.replace(5, 2, digits[6] == 'A' ? "19" : "18");
  if (!all_digits(digits) || !all_digits(text.substr(13))) return false;
  const int month = std::stoi(digits.substr(3, 2));
  return month >= 1 && (month <= 12 || month >= 20) && 97 - modulo(digits, 97) == modulo(text.substr(13), 100);
}

bool is_belgian_register_number(std::string_view digits) {
  if (digits.size() != 11 || !all_digits(digits)) return false;
  const int check = modulo(digits.substr(9), 100);
  return 97 - modulo(digits.substr(0, 9), 97) == check || 97 - modulo("2" + std::string(digits.substr(0, 9)), 97) == check;
}

bool is_austrian_insurance_number(std::string_view digits) {
  if (digits.size() != 10 || !all_digits(digits)) return false;
  const int day = modulo(digits.substr(4, 2), 100), month = modulo(digits.substr(6, 2), 100);
  if (day < 1 || day > 31 || month < 1 || month > 15) return false;
  const std::string rest = std::string(digits.substr(0, 3)) + std::string(digits.substr(4));
  return weighted(rest, {3, 7, 9, 5, 8, 4, 2, 1, 6}) % 11 == digit(digits[3]);
}

bool is_dutch_citizen_number(std::string_view digits) {
  return digits.size() == 9 && all_digits(digits) && (weighted(digits, {9, 8, 7, 6, 5, 4, 3, 2}) - digit(digits[8])) % 11 == 0;
}

bool is_italian_tax_code(std::string_view text) {
  if (text.size() != 16) return false;
  constexpr std::string_view kForm = "AAAAAA00A00A000A";
  constexpr std::array<int, 26> kOdd = {1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
  int sum = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    if (kForm[i] == 'A' ? !is_upper(text[i]) : !is_digit(text[i])) return false;
    if (i == 15) break;
    const int value = is_digit(text[i]) ? digit(text[i]) : text[i] - 'A';
    sum += i % 2 == 0 ? kOdd[static_cast<std::size_t>(value)] : value;
  }
  return sum % 26 == text[15] - 'A';
}

bool is_spanish_identity_number(std::string_view text) {
  if (text.size() != 9) return false;
  std::string digits(text.substr(0, 8));
  if (digits[0] >= 'X' && digits[0] <= 'Z') digits[0] = static_cast<char>('0' + (digits[0] - 'X'));
  return all_digits(digits) && text[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[modulo(digits, 23)];
}

}  // namespace deskhand
