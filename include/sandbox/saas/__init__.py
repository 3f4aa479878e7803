"""Stand-ins for Auth0, DocuSign and SendGrid, stocked as a lender has them."""
