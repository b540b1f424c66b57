// Numbers that prove themselves: is what looks like one really one? All take text without separators, letters in upper case.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace deskhand {

std::size_t iban_length(std::string_view country);  // of the whole IBAN, ISO 13616; 0: no such country
bool is_iban(std::string_view text);                // length and mod 97 (ISO 7064)
bool passes_luhn(std::string_view digits);
// A card's number by issuer, length and Luhn. `sure` false: the issuer's numbers are too many to be told without a word that says "card".
bool is_card(std::string_view digits, bool& sure);

// Lengths that a VAT number of the country has behind its two letters; empty: no such country. GB and XI are the United Kingdom's.
std::span<const int> vat_lengths(std::string_view country);
enum class VatCheck { kPassed, kFailed, kNone };  // kNone: right in form, the country defines no check digit or it is not known here
VatCheck check_vat(std::string_view country, std::string_view rest);

bool is_german_pension_number(std::string_view text);        // 53250365R108
bool is_french_security_number(std::string_view text);       // NIR, 15 signs with 2A and 2B for Corsica
bool is_belgian_register_number(std::string_view digits);    // 11 digits
bool is_austrian_insurance_number(std::string_view digits);  // 10 digits
bool is_dutch_citizen_number(std::string_view digits);       // BSN, 9 digits
bool is_italian_tax_code(std::string_view text);             // codice fiscale, 16 signs
bool is_spanish_identity_number(std::string_view text);      // DNI 12345678Z, NIE X1234567L

}  // namespace deskhand
