-- AlterTable
ALTER TABLE `users` ADD COLUMN `email` VARCHAR(191) NULL;

-- Written by hand after `prisma migrate dev --create-only`.
UPDATE `users` SET `email` = CONCAT(REPLACE(LOWER(`name`), ' ', '.'), '@example.com');
